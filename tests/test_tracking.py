"""The tracker against the real Aim, read back with Aim's own SDK.

Where a repository is destroyed under an open run, the test runs in a process of its own with a time limit: Aim
without care would hang at exit.
"""

import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import aim
import lightning as L
import numpy as np
import pytest
import torch
from aim.sdk.index_manager import RepoIndexManager
from aim.storage.context import Context
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from jersey.labels import Labels
from jersey.tracking import AimTracker, find_tracker, nested


@pytest.fixture(scope="session")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Creating a repository takes seconds; copying one does not."""
    folder = tmp_path_factory.mktemp("aim")
    aim.Repo.from_path(str(folder), init=True)
    return folder / ".aim"


@pytest.fixture
def workdir(tmp_path: Path, empty_repository: Path) -> Path:
    shutil.copytree(empty_repository, tmp_path / ".aim")
    return tmp_path


def tracker_in(workdir: Path) -> AimTracker:
    return AimTracker(
        repo=workdir / ".aim",
        experiment="quickstart",
        run_name="first",
        hash_file=workdir / "aim_hash",
        system_tracking_interval=None,
    )


def indexed(workdir: Path) -> aim.Repo:
    """The repository, brought up to date for reading; its runs must be closed."""
    repository = aim.Repo.from_path(str(workdir))
    for run_hash in repository.list_all_runs():
        RepoIndexManager.get_index_manager(repository).index(run_hash)
    return repository


def the_run(workdir: Path) -> aim.Run:
    (run_hash,) = indexed(workdir).list_all_runs()
    assert run_hash == (workdir / "aim_hash").read_text()
    return aim.Run(run_hash, repo=str(workdir), read_only=True)


def curve(run: aim.Run, name: str, **context: str) -> list[tuple[int, float, int]]:
    """(step, value, epoch) of each point."""
    steps, (values, epochs, _) = run.get_metric(name, Context(context)).data.items_list()
    return list(zip(steps, values, epochs, strict=True))


def test_metrics_land_in_the_context_of_their_subset(workdir: Path) -> None:
    tracker = tracker_in(workdir)
    for epoch in range(3):
        tracker.log_metrics({"train/loss": 1.0 - epoch, "lr": 0.5, "epoch": epoch}, step=10 * epoch + 9)
        tracker.log_metrics({"val/recall/07": 0.5 * epoch, "epoch": epoch}, step=10 * epoch + 9)
    tracker.log_metrics({"test/acc_top1": 0.75, "epoch": 3}, step=30)
    tracker.finalize("success")
    run = the_run(workdir)
    assert curve(run, "loss", subset="train") == [(9, 1.0, 0), (19, 0.0, 1), (29, -1.0, 2)]
    assert curve(run, "recall/07", subset="val") == [(9, 0.0, 0), (19, 0.5, 1), (29, 1.0, 2)]
    assert curve(run, "acc_top1", subset="test") == [(30, 0.75, 3)]
    assert curve(run, "lr") == [(9, 0.5, 0), (19, 0.5, 1), (29, 0.5, 2)]
    assert {name for name, _, _ in run.iter_metrics_info()} == {"loss", "recall/07", "acc_top1", "lr"}


def test_a_run_is_named_and_tagged(workdir: Path) -> None:
    tracker = tracker_in(workdir)
    tracker.log_outcome("finished")
    run = the_run(workdir)
    assert (run.name, run.experiment, run.tags) == ("first", "quickstart", ["quickstart"])


def test_config_can_be_queried_by_path(workdir: Path) -> None:
    tracker = tracker_in(workdir)
    tracker.log_config({"module.optimizer.lr": 1e-4, "module.augment": None, "data.root": "crops/00", "seed": 7})
    tracker.log_outcome("finished")
    repository = indexed(workdir)

    def found(query: str) -> int:
        return len(list(repository.query_runs(query, report_mode=0).iter_runs()))

    assert found("run.config.module.optimizer.lr == 1e-4 and run.config.data.root == 'crops/00'") == 1
    assert found("run.config.module.optimizer.lr > 1e-4") == 0
    assert the_run(workdir)["config", "module", "augment"] is None


def test_nested_keeps_plain_values_and_writes_the_others_out() -> None:
    assert nested({"a.b": 1, "a.c.d": True, "e": (0.9, 0.99), "a.f": float}) == {
        "a": {"b": 1, "c": {"d": True}, "f": "<class 'float'>"},
        "e": "(0.9, 0.99)",
    }


def test_labels_stay_strings(workdir: Path) -> None:
    labels = Labels(("0", "00", "01"))
    tracker = tracker_in(workdir)
    tracker.log_labels(labels)
    tracker.log_outcome("finished")
    assert the_run(workdir)["labels"] == {"names": ["0", "00", "01"], "count": 3, "sha256": labels.sha256}


def test_images_come_back_pixel_by_pixel(workdir: Path) -> None:
    pixels = [np.random.default_rng(step).integers(0, 255, (30, 50, 3), dtype=np.uint8) for step in range(2)]
    tracker = tracker_in(workdir)
    for step, pixels_HW3 in enumerate(pixels):
        tracker.log_image("matrix", Image.fromarray(pixels_HW3), step=10 * step, epoch=step, subset="val")
    tracker.finalize("success")
    images = the_run(workdir).get_image_sequence("matrix", Context({"subset": "val"}))
    steps, (stored, epochs, _) = images.data.items_list()
    assert (list(steps), list(epochs)) == ([0, 10], [0, 1])
    for image, pixels_HW3 in zip(stored, pixels, strict=True):
        assert np.array_equal(np.asarray(image.to_pil_image()), pixels_HW3)


def test_the_same_hash_file_continues_the_run(workdir: Path) -> None:
    for epoch in range(3):
        tracker = tracker_in(workdir)
        tracker.log_metrics({"train/loss": float(epoch), "epoch": epoch}, step=epoch)
        tracker.finalize("success")
    assert curve(the_run(workdir), "loss", subset="train") == [(0, 0.0, 0), (1, 1.0, 1), (2, 2.0, 2)]


def test_steps_done_again_replace_their_points(workdir: Path) -> None:
    for value in (1.0, 2.0):
        tracker = tracker_in(workdir)
        tracker.log_metrics({"train/loss": value, "epoch": 0}, step=5)
        tracker.finalize("success")
    assert curve(the_run(workdir), "loss", subset="train") == [(5, 2.0, 0)]


def test_the_tracker_logs_on_after_finalize(workdir: Path) -> None:
    tracker = tracker_in(workdir)
    for step in range(2):
        tracker.log_metrics({"test/loss": 0.5, "epoch": step}, step=step)
        tracker.finalize("success")
    assert len(curve(the_run(workdir), "loss", subset="test")) == 2


def test_a_hash_that_aim_does_not_know_gives_a_new_run(workdir: Path, caplog: pytest.LogCaptureFixture) -> None:
    (workdir / "aim_hash").write_text("0123456789abcdef01234567")
    tracker = tracker_in(workdir)
    tracker.log_metrics({"train/loss": 1.0, "epoch": 0}, step=0)
    tracker.finalize("success")
    assert curve(the_run(workdir), "loss", subset="train") == [(0, 1.0, 0)]
    assert not caplog.records


def test_outcome_is_running_until_the_last_word(workdir: Path) -> None:
    tracker = tracker_in(workdir)
    tracker.log_metrics({"train/loss": 1.0, "epoch": 0}, step=0)
    tracker.finalize("failed")
    assert the_run(workdir)["outcome", "status"] == "running"
    tracker.log_outcome("failed", "Traceback: ...")
    assert the_run(workdir)["outcome"] == {"status": "failed", "detail": "Traceback: ..."}


def test_no_environment_variable_is_stored(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "value-that-must-not-leak")
    tracker = tracker_in(workdir)
    tracker.log_config({"seed": 0})
    tracker.log_outcome("finished")
    assert set(the_run(workdir)[...]) == {"config", "outcome"}
    files = [file for file in (workdir / ".aim").rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if b"value-that-must-not-leak" in file.read_bytes()]


def log_everything(tracker: AimTracker) -> None:
    tracker.log_config({"seed": 0})
    tracker.log_labels(Labels(("0", "00")))
    tracker.log_metrics({"val/loss": 1.0, "epoch": 0}, step=0)
    tracker.log_image("x", Image.new("RGB", (2, 2)), step=0, epoch=0, subset="val")
    tracker.finalize("success")
    tracker.log_outcome("finished")


def test_a_repository_that_cannot_be_made_costs_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / ".aim").write_text("a file where the folder should be")
    log_everything(tracker_in(tmp_path))
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("jersey", logging.WARNING)
    assert str(tmp_path / ".aim") in record.getMessage()


def test_aim_missing_costs_one_warning(
    workdir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "aim", None)
    log_everything(tracker_in(workdir))
    (record,) = caplog.records
    assert "aim" in record.getMessage()


def test_other_ranks_write_nothing(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(L.pytorch.utilities.rank_zero_only, "rank", 1)
    log_everything(tracker_in(workdir))
    assert not (workdir / "aim_hash").exists()
    assert indexed(workdir).list_all_runs() == []


class Countdown(L.LightningModule):
    """Logs numbers that tell the epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return self.layer(batch[0]).mean()

    def on_train_epoch_end(self) -> None:
        self.log("train/loss", float(self.current_epoch))

    def test_step(self, batch: list[torch.Tensor], batch_idx: int) -> None: ...

    def on_test_epoch_end(self) -> None:
        self.log("test/loss", 0.5)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_lightning_fit_resume_and_test_are_one_run_with_continuous_steps(workdir: Path) -> None:
    loader = DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=2)
    for epochs in (2, 3):
        trainer = L.Trainer(
            default_root_dir=workdir,
            logger=tracker_in(workdir),
            max_epochs=epochs,
            accelerator="cpu",
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )
        assert find_tracker(trainer) is trainer.logger
        checkpoint = workdir / "last.ckpt"
        trainer.fit(Countdown(), loader, ckpt_path=checkpoint if checkpoint.exists() else None)
        trainer.save_checkpoint(checkpoint)
    trainer.test(Countdown(), loader, verbose=False)
    run = the_run(workdir)
    assert curve(run, "loss", subset="train") == [(1, 0.0, 0), (3, 1.0, 1), (5, 2.0, 2)]
    assert curve(run, "loss", subset="test") == [(6, 0.5, 3)]


SCRIPT = """
import os, shutil, signal, sys
from pathlib import Path
from jersey.tracking import AimTracker
workdir = Path(sys.argv[1])
tracker = AimTracker(repo=workdir / ".aim", experiment="e", run_name="r", hash_file=workdir / sys.argv[2])
tracker.log_metrics({"train/loss": 1.0, "epoch": 0}, step=0)
"""
LOG_ON = """
tracker.log_metrics({"train/loss": 1.0, "epoch": 1}, step=1)
tracker.finalize("success")
tracker.log_outcome("finished")
print("trained on")
"""


def python(code: str, workdir: Path, *, hash_name: str = "aim_hash") -> "subprocess.Popen[str]":
    command: list[Any] = [sys.executable, "-c", code, workdir, hash_name]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.parametrize("what_then", ["", "(workdir / '.aim').write_text('a file')", "(workdir / '.aim').mkdir()"])
def test_a_repository_deleted_under_the_run_costs_one_warning(workdir: Path, what_then: str) -> None:
    process = python(f"{SCRIPT}shutil.rmtree(workdir / '.aim')\n{what_then}\n{LOG_ON}", workdir)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "trained on\n")
    assert err.strip().startswith("Aim stops recording this run")
    assert len(err.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_process_ends_that_never_closed_its_run_in_a_deleted_repository(workdir: Path) -> None:
    process = python(f"{SCRIPT}shutil.rmtree(workdir / '.aim')", workdir)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert len(err.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_full_disk_costs_one_warning(workdir: Path) -> None:
    fill = """
import resource
import numpy as np
from PIL import Image
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8))
tracker.log_image("noise", noise, step=0, epoch=0, subset="val")
"""
    process = python(SCRIPT + fill + LOG_ON, workdir)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "trained on\n")
    assert len(err.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_killed_process_is_continued(workdir: Path) -> None:
    process = python(SCRIPT + "os.kill(os.getpid(), signal.SIGKILL)", workdir)
    process.communicate(timeout=120)
    assert process.returncode == -9
    tracker = tracker_in(workdir)
    tracker.log_metrics({"train/loss": 2.0, "epoch": 1}, step=1)
    tracker.finalize("success")
    assert curve(the_run(workdir), "loss", subset="train") == [(0, 1.0, 0), (1, 2.0, 1)]


@pytest.mark.slow
def test_processes_that_create_one_repository_at_once_all_record(tmp_path: Path) -> None:
    processes = [python(SCRIPT + LOG_ON, tmp_path, hash_name=f"hash{index}") for index in range(3)]
    for process in processes:
        out, err = process.communicate(timeout=240)
        assert (process.returncode, out, err) == (0, "trained on\n", "")
    assert len(indexed(tmp_path).list_all_runs()) == 3
