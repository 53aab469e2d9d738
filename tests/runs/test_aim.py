"""The tracker with the real Aim, whose data is read with Aim's SDK."""

import gc
import socket
import sys
import threading
import weakref
from contextlib import nullcontext
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
from aim.sdk.types import QueryReportMode
from aim.storage.context import Context
from helpers import aim_repository
from helpers.aim_repository import curve, hashes_in, indexed, points, the_run, tracker_in
from helpers.countdown import Countdown
from helpers.small_run import small_trainer
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from jersey.runs.aim import AimTracker, nested, short_commit

workdir, empty_repository = aim_repository.workdir, aim_repository.empty_repository
SHA = "0123456789abcdef0123456789abcdef01234567"


def test_metrics_have_the_context_of_their_subset_and_the_hash_file_continues_the_run(workdir: Path) -> None:
    for epoch in (0, 1, 1):  # a repeated step replaces its point
        tracker = tracker_in(workdir)
        tracker.log_metrics({"train/loss": 1.0 - epoch, "lr": 0.5, "epoch": epoch}, step=10 * epoch + 9)
        tracker.log_metrics({"val/recall/07": 0.5 * epoch, "epoch": epoch}, step=10 * epoch + 9)
        tracker.finalize("success")
    tracker.log_metrics({"test/acc_top1": 0.75, "epoch": 2}, step=20)  # logging continues after finalize
    tracker.finalize("success")
    run = the_run(workdir)
    assert curve(run, "loss", subset="train") == [(9, 1.0, 0), (19, 0.0, 1)]
    assert curve(run, "recall/07", subset="val") == [(9, 0.0, 0), (19, 0.5, 1)]
    assert run["test"] == {"acc_top1": 0.75}, "a score, not a curve of one point"
    assert curve(run, "lr") == [(9, 0.5, 0), (19, 0.5, 1)]
    assert {name for name, _, _ in run.iter_metrics_info()} == {"loss", "recall/07", "lr"}


def test_run_has_its_name_and_tags_for_experiment_machine_and_every_commit(
    workdir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for commit in (f"{SHA}-dirty", SHA[::-1], SHA[::-1]):
        tracker_in(workdir, commit=commit).log_outcome("finished")
    run = the_run(workdir)
    assert (run.name, run.experiment) == ("first", "quickstart")
    assert sorted(run.tags) == sorted(["quickstart", "01234567-dirty", "76543210", socket.gethostname()])
    assert not caplog.records


@pytest.mark.parametrize(
    ("commit", "tag"), [(SHA, "01234567"), (f"{SHA}-dirty", "01234567-dirty"), ("unknown", ""), ("", "")]
)
def test_commit_is_shortened(commit: str, tag: str) -> None:
    assert short_commit(commit) == tag


def test_metadata_can_be_queried_by_path_and_no_environment_variable_is_stored(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "value-that-must-not-leak")
    tracker = tracker_in(workdir)
    config = {"module.optimizer.lr": 1e-4, "module.augment": None, "data.root": "crops/00", "seed": 7}
    tracker.log_metadata("config", nested(config))
    tracker.log_metadata("labels", {"names": ["0", "00"]})
    tracker.log_outcome("finished")
    repository = indexed(workdir)

    def found(query: str) -> int:
        return len(list(repository.query_runs(query, report_mode=QueryReportMode.DISABLED).iter_runs()))

    assert found("run.config.module.optimizer.lr == 1e-4 and run.config.data.root == 'crops/00'") == 1
    assert found("run.config.module.optimizer.lr > 1e-4") == 0
    run = the_run(workdir)
    assert run["config", "module", "augment"] is None
    assert run["labels"] == {"names": ["0", "00"]}
    assert set(run[...]) == {"config", "labels", "outcome"}
    files = [file for file in (workdir / ".aim").rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if b"value-that-must-not-leak" in file.read_bytes()]


@pytest.mark.parametrize(
    ("flat", "tree"),
    [
        (
            {"a.b": 1, "a.c.d": True, "e": (0.9, 0.99), "a.f": float},
            {"a": {"b": 1, "c": {"d": True}, "f": "<class 'float'>"}, "e": [0.9, 0.99]},
        ),
        (
            {"a.b.c": 1, "a": "<make>", "a.b.d": "<zeros>"},
            {"a": {"callable": "<make>", "b": {"c": 1, "d": "<zeros>"}}},
        ),
    ],
)
def test_nested_keeps_plain_values_and_puts_a_callable_beside_its_arguments(flat: dict, tree: dict) -> None:
    assert nested(flat) == tree


def test_images_are_lossless_and_one_of_the_whole_run_has_no_subset(workdir: Path) -> None:
    pixels = [np.random.default_rng(step).integers(0, 255, (30, 50, 3), dtype=np.uint8) for step in range(2)]
    tracker = tracker_in(workdir)
    for step, pixels_HW3 in enumerate(pixels):
        for subset in ("val", None):
            tracker.log_image("matrix", Image.fromarray(pixels_HW3), step=10 * step, epoch=step, subset=subset)
    tracker.finalize("success")
    for context in (Context({"subset": "val"}), Context({})):
        images = points(the_run(workdir).get_image_sequence("matrix", context))
        assert [(step, epoch) for step, _, epoch in images] == [(0, 0), (10, 1)]
        for (_, image, _), pixels_HW3 in zip(images, pixels, strict=True):
            assert np.array_equal(np.asarray(image.to_pil_image()), pixels_HW3)


def test_description_texts_and_distributions_are_stored(workdir: Path) -> None:
    tracker = tracker_in(workdir, description="A first run.\n\nConfig changes: none")
    counts_B = np.arange(64)
    for epoch in (0, 1):
        where = {"low": -1.0, "high": 3.0, "step": 10 * epoch, "epoch": epoch}
        tracker.log_distribution("weights/head", counts_B + epoch, subset=None, **where)
    tracker.log_text("command", "python launch.py --exp=quickstart")
    tracker.finalize("success")
    run = the_run(workdir)
    assert run.description == "A first run.\n\nConfig changes: none"
    stored = points(run.get_distribution_sequence("weights/head", Context({})))
    assert [(step, epoch) for step, _, epoch in stored] == [(0, 0), (10, 1)]
    for (_, distribution, epoch), low_high in zip(stored, [(-1.0, 3.0)] * 2, strict=True):
        assert distribution.weights.tolist() == (counts_B + epoch).tolist()
        assert tuple(distribution.range) == low_high
    ((_, text, _),) = points(run.get_text_sequence("command", Context({})))
    assert text.data == "python launch.py --exp=quickstart"


def test_unknown_hash_starts_a_new_run(workdir: Path, caplog: pytest.LogCaptureFixture) -> None:
    (workdir / "aim_hash").write_text("0123456789abcdef01234567")
    tracker = tracker_in(workdir)
    tracker.log_metrics({"train/loss": 1.0, "epoch": 0}, step=0)
    tracker.finalize("success")
    assert curve(the_run(workdir), "loss", subset="train") == [(0, 1.0, 0)]
    assert not caplog.records


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, "finished"), (SystemExit, "interrupted"), (KeyboardInterrupt, "interrupted"), (ValueError, "failed")],
)
def test_outcome_is_running_until_the_run_ends(workdir: Path, error: type[BaseException] | None, status: str) -> None:
    tracker = tracker_in(workdir)
    tracker.log_metrics({"train/loss": 1.0, "epoch": 0}, step=0)
    tracker.finalize("failed")
    assert the_run(workdir)["outcome", "status"] == "running"
    with pytest.raises(error) if error else nullcontext(), tracker.outcome():
        if error:
            raise error("for a reason")
    outcome = the_run(workdir)["outcome"]
    assert outcome["status"] == status
    assert ("for a reason" in outcome["detail"]) == (status == "failed")


def log_everything(tracker: AimTracker) -> None:
    tracker.log_metadata("config", {"seed": 0})
    tracker.log_metrics({"val/loss": 1.0, "epoch": 0}, step=0)
    tracker.log_image("x", Image.new("RGB", (2, 2)), step=0, epoch=0, subset="val")
    tracker.finalize("success")
    tracker.log_outcome("finished")


@pytest.mark.parametrize("broken", ["repository", "hash file", "aim"])
def test_failure_in_aim_causes_one_warning(
    workdir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    repo, hash_file = workdir / ".aim", workdir / "aim_hash"
    if broken == "repository":
        repo = workdir / "a_file" / ".aim"
        repo.parent.write_text("where the folder should be")
    elif broken == "hash file":
        hash_file = workdir / "missing" / "aim_hash"
    else:
        monkeypatch.setitem(sys.modules, "aim", None)
    log_everything(AimTracker(repo=repo, experiment="e", run_name="r", hash_file=hash_file))
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("jersey", "WARNING")
    assert str(repo) in record.getMessage()


def test_other_ranks_write_nothing(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(L.pytorch.utilities.rank_zero_only, "rank", 1)
    log_everything(tracker_in(workdir))
    assert not (workdir / "aim_hash").exists()
    assert hashes_in(workdir) == []


def test_lightning_fit_resume_and_test_are_one_run_with_continuous_steps(workdir: Path) -> None:
    loader = DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=2)
    for epochs in (2, 3):
        trainer = small_trainer(workdir, epochs=epochs, logger=tracker_in(workdir))
        checkpoint = workdir / "last.ckpt"
        trainer.fit(Countdown(), loader, ckpt_path=checkpoint if checkpoint.exists() else None)
        trainer.save_checkpoint(checkpoint)
    trainer.test(Countdown(), loader, verbose=False)
    run = the_run(workdir)
    assert curve(run, "loss", subset="train") == [(1, 0.0, 0), (3, 1.0, 1), (5, 2.0, 2)]
    assert run["test", "loss"] == 0.5


def test_a_closed_tracker_leaves_nothing_in_the_process(workdir: Path) -> None:
    threads = set(threading.enumerate())
    tracker = tracker_in(workdir)
    tracker.log_metrics({"train/loss": 1.0, "epoch": 0}, step=0)
    tracker.log_outcome("finished")
    gone = weakref.ref(tracker)
    del tracker
    gc.collect()
    assert gone() is None
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)
        assert not thread.is_alive(), thread
