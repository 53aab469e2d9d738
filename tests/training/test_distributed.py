"""Two processes on the CPU train like one process, and leave one run.

Shapes: N crops of a split.
"""

import csv
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import helpers.registered  # noqa: F401  # its import registers the experiments
import pytest
import torch
from helpers.aim_repository import hashes_in
from helpers.countdown import rows_of
from helpers.repository import NUMBERS
from helpers.several_processes import PROCESSES, launched_side_by_side, side_by_side
from helpers.shared_fits import EPOCHS, PLAIN, fit, fit_all, opened, plain_network
from helpers.torchrun import Torchrun

from jersey import config as configs
from jersey.core import distributed
from jersey.evaluation.calibration import fit_temperature
from jersey.evaluation.metrics import Collector
from jersey.experiment import load_best_weights
from jersey.inference.onnx_model import OnnxModel
from jersey.lint.checks import load
from jersey.runs.folder import RunFolder, open_run
from jersey.synth.generate import generate

slow = pytest.mark.slow
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]  # warnings: Lightning's advice


def test_without_torchrun_there_is_one_process_despite_other_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert (distributed.rank(), distributed.world_size(), distributed.local_world_size()) == (0, 1, 1)
    assert distributed.rank_counters() == ()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert (distributed.rank(), distributed.world_size(), distributed.local_world_size()) == (1, 4, 2)
    assert distributed.rank_counters() == (1,)


def test_single_process_does_not_communicate() -> None:
    with distributed.process_group(), distributed.rank_zero_first():
        distributed.barrier()
    assert not torch.distributed.is_initialized()
    rows_N = torch.arange(3)
    assert distributed.broadcast(rows_N) is distributed.all_gather_interleaved(rows_N) is rows_N
    assert not distributed.error_was_printed()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set whose splits two processes cannot divide evenly."""
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
    """The same fits by two processes; one process began one of the runs."""
    folder = tmp_path_factory.mktemp("together")
    fit(opened(root), folder, "continued", network=plain_network, stop_after=1, **PLAIN["continued"]())
    assert side_by_side(fit_all, root, folder) == [0] * PROCESSES
    return folder


def seen(folder: Path, name: str, rank: int = 0) -> dict[str, Any]:
    return torch.load(folder / f"{name}.{rank}.pt", weights_only=True)


def interleaved(rows: Sequence[Sequence[int]]) -> list[int]:
    """Returns the first row of each process, then the second of each, and so on."""
    return [row for step in zip(*rows, strict=True) for row in step]


@slow
@pytest.mark.parametrize("name", ["plain", "sam", "accumulated", "frozen", "random"])
def test_processes_sample_the_batches_of_one_process(alone: Path, together: Path, name: str) -> None:
    expected = seen(alone, name)["rows"]
    parts = [seen(together, name, rank)["rows"] for rank in range(PROCESSES)]
    assert len(expected) == EPOCHS * (51 // 8)
    assert [interleaved(batches) for batches in zip(*parts, strict=True)] == expected


@slow
@pytest.mark.parametrize("name", PLAIN)
def test_without_batch_statistics_processes_learn_and_score_like_one(alone: Path, together: Path, name: str) -> None:
    """Weights, EMA weights, momentum, schedule and the number of steps are equal up to rounding."""
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
    """This includes the EMA weights, which a module holds at its end, and the statistics of batch normalization."""
    first, *others = (seen(together, name, rank) for rank in range(PROCESSES))
    for other in others:
        assert all(torch.equal(value, other["end"][key]) for key, value in first["end"].items())
        for weights, other_weights in zip(first["weights"], other["weights"], strict=True):
            assert all(torch.equal(value, other_weights[key]) for key, value in weights.items())


@slow
def test_frozen_backbone_is_constant_in_all_processes_and_then_learns(together: Path) -> None:
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


def torchrun(root: Path, workdir: Path, log: str) -> Torchrun:
    return Torchrun([*FLAGS, f"--fdl_set=data.root={root}", f"--workdir={workdir}"], workdir / log)


def kill_one_after_an_epoch(root: Path, workdir: Path) -> None:
    """Kills a process of torchrun that is not rank zero, as an out-of-memory killer does; all have to end."""
    run = torchrun(root, workdir, "killed.log")
    while run.is_running and not list(workdir.glob("*/shared/checkpoints/last.ckpt")):
        time.sleep(0.1)
    run.kill(1)
    assert run.ended(timeout_s=60) != 0
    assert "SIGKILL" in run.output
    assert run.orphans(timeout_s=0) == []


@pytest.fixture(scope="module")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run that lost a process after an epoch, continued by the same command."""
    shared = tmp_path_factory.mktemp("torchrun")
    kill_one_after_an_epoch(root, shared)
    run = torchrun(root, shared, "resumed.log")
    assert run.ended(timeout_s=280) == 0, run.output
    assert run.output.count("resuming ") == run.output.count("test top-1 ") == 1
    (path,) = shared.glob("*/shared")
    config_files = {"config.txt": (path / "config.txt").read_text(encoding="utf-8")}
    return open_run(shared, path.parent.name, path.name, config_files=config_files)


@slow
def test_torchrun_leaves_one_run_folder_with_one_prediction_per_test_crop(finished: RunFolder, root: Path) -> None:
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
def test_one_process_reproduces_the_scores_of_torchrun(finished: RunFolder, root: Path) -> None:
    config = load(finished.path)[1]
    experiment = configs.build(config)
    data = experiment.data(seed=0)
    data.setup()
    module = experiment.module(labels=data.labels, class_counts=data.class_counts, seed=0)
    best = load_best_weights(module, finished.best_checkpoint)
    *_, row = rows_of(finished.path)
    test = {name[5:]: score for name, score in row.items() if name[:5] == "test/"}
    temperature = 1.0
    for split, scores in (("val", best["val"]), ("test", test)):
        collector = Collector()
        for batch in getattr(data, f"{split}_dataloader")():
            with torch.inference_mode():
                collector.add(module.network.eval()(batch["images"]), batch)
        evaluation = collector.evaluation()
        if split == "val":
            temperature = fit_temperature(evaluation.logits_NK.numpy(), evaluation.labels_N.numpy())
        expected = replace(evaluation, temperature=temperature).metrics
        assert {name: float(score) for name, score in scores.items()} == pytest.approx(expected, rel=1e-4, abs=1e-6)


@slow
@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--fdl_set=data.batch_size=7", "data.batch_size=7 is shared by 2 processes"),  # before they form a group
        ("--run=a/b", "--run=a/b is not a plain folder name"),  # before they import torch
        ("--workdir=/dev/null", "cannot create the folder /dev/null"),  # checked by rank zero only
        ("--fdl_set=data.root=nowhere", "the data folder nowhere does not exist"),
        ("--sweep=seed=0,1", "--sweep starts its own processes"),
    ],
)
def test_user_error_ends_all_processes_with_one_sentence(tmp_path: Path, flag: str, sentence: str) -> None:
    ended = launched_side_by_side([*FLAGS, f"--workdir={tmp_path / 'runs'}", flag], tmp_path)
    assert [each.returncode for each in ended] == [2] * PROCESSES
    stderr = "".join(each.stderr for each in ended)
    assert stderr.count("error: ") == stderr.count(sentence) == 1
    assert "Traceback" not in stderr


def _rewritten(crop: Path) -> None:
    shutil.copyfile(next(each for each in crop.parent.iterdir() if each != crop), crop)


@slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_rewritten, "has another label or content on rank 1 ("),
        (lambda crop: crop.rename(crop.parent.with_name("01") / crop.name), "can be used on rank "),
        (Path.unlink, "can be used on rank 0 only"),
        (lambda crop: crop.write_bytes(b""), "can be used on rank 0 only"),  # skipped on that machine
    ],
    ids=["other content", "other label", "missing", "damaged"],
)
def test_machines_with_different_data_end_before_training_and_name_the_file(
    root: Path, tmp_path: Path, change: Callable[[Path], object], words: str
) -> None:
    """Two folders stand for the disks of two machines; the same command reads `crops` in either."""
    machines = [tmp_path / f"machine-{each}" for each in range(PROCESSES)]
    for machine in machines:
        shutil.copytree(root, machine / "crops")
    crop = sorted((machines[1] / "crops" / "train" / "00").iterdir())[1]
    change(crop)
    flags = [*FLAGS, "--fdl_set=data.root=crops", "--fdl_set=data.on_bad_image=skip", f"--workdir={tmp_path / 'runs'}"]
    ended = launched_side_by_side(flags, *machines)
    assert [each.returncode for each in ended] == [2] * PROCESSES
    stderr = "".join(each.stderr for each in ended)
    assert stderr.count("error: ") == stderr.count(words) == 1
    assert crop.name in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "runs" / "resnet18_baseline").exists()
