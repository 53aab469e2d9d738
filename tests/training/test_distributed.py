"""Two processes on the CPU do together what one does alone, and leave one run.

Shapes: N crops of a split.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.aim_repository import hashes_in
from helpers.countdown import rows_of
from helpers.repository import NUMBERS, REPOSITORY
from helpers.several_processes import PROCESSES, launched_side_by_side, side_by_side
from helpers.shared_fits import EPOCHS, PLAIN, fit, fit_all, opened, plain_network

import experiments  # noqa: F401  # its import registers them
from jersey import config as configs
from jersey.core import distributed
from jersey.evaluation.metrics import Collector
from jersey.experiment import load_best_weights
from jersey.inference.onnx_model import OnnxModel
from jersey.lint.checks import load
from jersey.runs.folder import RunFolder, open_run
from jersey.synth.generate import generate

slow = pytest.mark.slow
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]  # warnings: Lightning's advice


def test_without_torchrun_there_is_one_process_whatever_else_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert (distributed.rank(), distributed.world_size(), distributed.local_world_size()) == (0, 1, 1)
    assert distributed.rank_counters() == ()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert (distributed.rank(), distributed.world_size(), distributed.local_world_size()) == (1, 4, 2)
    assert distributed.rank_counters() == (1,)


def test_alone_nothing_is_waited_for_or_sent() -> None:
    with distributed.process_group(), distributed.rank_zero_first():
        distributed.barrier()
    assert not torch.distributed.is_initialized()
    rows_N = torch.arange(3)
    assert distributed.broadcast(rows_N) is distributed.all_gather_interleaved(rows_N) is rows_N
    assert not distributed.error_was_printed()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Splits that two processes cannot share evenly."""
    root = tmp_path_factory.mktemp("odd") / "crops"
    generate(root, numbers=NUMBERS, train=51, val=13, test=11, size_px=40, imbalance=2.0, workers=1)
    return root


@pytest.fixture(scope="module")
def alone(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    fit_all(root, folder)
    return folder


@pytest.fixture(scope="module")
def together(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same by two processes; one of the runs was begun by one."""
    folder = tmp_path_factory.mktemp("together")
    fit(opened(root), folder, "continued", network=plain_network, stop_after=1, **PLAIN["continued"]())
    assert side_by_side(fit_all, root, folder) == [0] * PROCESSES
    return folder


def seen(folder: Path, name: str, rank: int = 0) -> dict[str, Any]:
    return torch.load(folder / f"{name}.{rank}.pt", weights_only=True)


def interleaved(rows: Sequence[Sequence[int]]) -> list[int]:
    """The first of each process, the second of each, and so on."""
    return [row for at_once in zip(*rows, strict=True) for row in at_once]


@slow
@pytest.mark.parametrize("name", ["plain", "sam", "accumulated", "frozen", "random"])
def test_together_they_draw_batch_for_batch_what_one_draws(alone: Path, together: Path, name: str) -> None:
    expected = seen(alone, name)["rows"]
    shares = [seen(together, name, rank)["rows"] for rank in range(PROCESSES)]
    assert len(expected) == EPOCHS * (51 // 8)
    assert [interleaved(batches) for batches in zip(*shares, strict=True)] == expected


@slow
@pytest.mark.parametrize("name", PLAIN)
def test_without_batch_statistics_they_learn_and_score_what_one_does(alone: Path, together: Path, name: str) -> None:
    """Up to rounding: weights, averages, momentum, learning rate, and so the schedule and the number of steps."""
    one, two = (seen(folder, name)["checkpoint"] for folder in (alone, together))
    (first,), (second,) = (each["optimizer_states"] for each in (one, two))
    torch.testing.assert_close(second["state"], first["state"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(two["state_dict"], one["state_dict"], atol=1e-5, rtol=1e-4)
    assert (two["lr_schedulers"], two["global_step"]) == (one["lr_schedulers"], one["global_step"])
    assert len(rows_of(together / name)) == EPOCHS
    for expected, row in zip(rows_of(alone / name), rows_of(together / name), strict=True):
        assert {"train/loss", "train/acc_top1", "val/loss", "val/ece"} <= row.keys()
        scores = {key: float(cell) for key, cell in expected.items()}
        assert {key: float(cell) for key, cell in row.items()} == pytest.approx(scores, rel=1e-3, abs=1e-5)


@slow
@pytest.mark.parametrize("name", [*PLAIN, "random"])
def test_all_processes_end_with_the_same_weights(together: Path, name: str) -> None:
    """Averages too, which a module holds at its end, and the statistics of batch normalization."""
    first, *others = (seen(together, name, rank) for rank in range(PROCESSES))
    for other in others:
        assert all(torch.equal(value, other["end"][key]) for key, value in first["end"].items())
        for mine, its in zip(first["weights"], other["weights"], strict=True):
            assert all(torch.equal(value, its[key]) for key, value in mine.items())


@slow
def test_a_frozen_backbone_stands_still_in_all_processes_and_then_learns(together: Path) -> None:
    for rank in range(PROCESSES):
        weights = [state["network.backbone.0.weight"] for state in seen(together, "frozen", rank)["weights"]]
        half = len(weights) // 2
        assert all(torch.equal(weight, weights[0]) for weight in weights[:half])
        assert not torch.equal(weights[-1], weights[0])


FLAGS = (
    "--exp=resnet18_baseline",
    "--fiddler=from_scratch",
    "--fiddler=cpu",
    "--fdl_set=data.size_px=(32, 32)",
    "--fdl_set=data.batch_size=16",
    "--fdl_set=data.eval_batch_size=5",
    "--fdl_set=trainer.epochs=2",
    "--run=shared",
)


def torchrun(root: Path, workdir: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={PROCESSES}", "--"]
    command += [str(REPOSITORY / "launch.py"), *FLAGS, f"--fdl_set=data.root={root}", f"--workdir={workdir}"]
    return subprocess.Popen(command, cwd=workdir, stderr=subprocess.PIPE, text=True, start_new_session=True)


def processes_of(run: subprocess.Popen[str]) -> list[int]:
    """The processes that torchrun has started, each in a session of its own."""
    return [int(each) for each in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()]


def processes_in(session: int) -> list[int]:
    """Those that live, also where their parent has gone."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                found.append(int(stat.parent.name))
    return found


def lose_one_after_an_epoch(root: Path, workdir: Path) -> None:
    """Kills one of torchrun's processes that is not rank zero, as a machine without memory does; all have to end."""
    run = torchrun(root, workdir)
    while run.poll() is None and not list(workdir.glob("*/shared/checkpoints/last.ckpt")):
        time.sleep(0.1)
    sessions = processes_of(run)
    (lost,) = [each for each in sessions if b"RANK=1" in Path(f"/proc/{each}/environ").read_bytes().split(b"\0")]
    os.kill(lost, signal.SIGKILL)
    killed = time.monotonic()
    _, said = run.communicate(timeout=200)
    assert time.monotonic() - killed < 60
    assert run.returncode != 0
    assert "SIGKILL" in said
    assert [each for session in (*sessions, run.pid) for each in processes_in(session)] == []


@pytest.fixture(scope="module")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run that has lost a process after an epoch, continued by the same command."""
    shared = tmp_path_factory.mktemp("torchrun")
    lose_one_after_an_epoch(root, shared)
    run = torchrun(root, shared)
    _, said = run.communicate(timeout=280)
    assert run.returncode == 0, said
    assert said.count("resuming ") == said.count("test top-1 ") == 1
    (path,) = shared.glob("*/shared")
    documents = {"config.txt": (path / "config.txt").read_text(encoding="utf-8")}
    return open_run(shared, path.parent.name, path.name, config_files=documents)


@slow
def test_torchrun_leaves_one_run_in_one_folder_that_has_read_every_test_crop_once(
    finished: RunFolder, root: Path
) -> None:
    assert finished.stage == "finished"
    assert (finished.path.parent.parent / ".aim").is_dir()
    assert hashes_in(finished.path.parent.parent) == [(finished.path / "aim_hash").read_text()]
    assert [path.name for path in finished.path.parent.iterdir()] == [finished.name]
    assert finished.report.exists()
    assert OnnxModel(finished.onnx).labels.names == NUMBERS
    starts = json.loads((finished.path / "provenance.json").read_text(encoding="utf-8"))
    assert [start["processes"] for start in starts] == [PROCESSES] * 2
    with (finished.path / "predictions_test.csv").open(encoding="utf-8", newline="") as file:
        files = [row["file"] for row in csv.DictReader(file)]
    assert len(files) == 11
    assert sorted(files) == sorted(path.relative_to(root).as_posix() for path in (root / "test").rglob("*.jpg"))


@slow
def test_what_torchrun_scored_one_process_scores_from_the_checkpoint(finished: RunFolder, root: Path) -> None:
    config = load(finished.path)[1]
    experiment = configs.build(config)
    data = experiment.data(seed=0)
    data.setup()
    module = experiment.module(labels=data.labels, class_counts=data.class_counts, seed=0)
    best = load_best_weights(module, finished.best_checkpoint)
    *_, tested = rows_of(finished.path)
    for split, scored in (("val", best["val"]), ("test", {k[5:]: v for k, v in tested.items() if k[:5] == "test/"})):
        collector = Collector()
        for batch in getattr(data, f"{split}_dataloader")():
            with torch.inference_mode():
                collector.add(module.network.eval()(batch["images"]), batch)
        expected = collector.evaluation().metrics
        assert {name: float(score) for name, score in scored.items()} == pytest.approx(expected, rel=1e-4, abs=1e-6)


@slow
@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--fdl_set=data.batch_size=7", "data.batch_size=7 is shared by 2 processes"),  # before they have joined
        ("--run=a/b", "--run=a/b is not a plain folder name"),  # where rank zero alone looks
        ("--fdl_set=data.root=nowhere", "the data folder nowhere does not exist"),
        ("--sweep=seed=0,1", "--sweep starts processes of its own"),
    ],
)
def test_a_users_mistake_ends_all_processes_with_one_sentence(tmp_path: Path, flag: str, sentence: str) -> None:
    ended = launched_side_by_side([*FLAGS, f"--workdir={tmp_path / 'runs'}", flag], tmp_path)
    assert [each.returncode for each in ended] == [2] * PROCESSES
    said = "".join(each.stderr for each in ended)
    assert said.count("error: ") == said.count(sentence) == 1
    assert "Traceback" not in said
