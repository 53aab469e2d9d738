"""Whole runs of data sets as people have them: without a test split, with a choice of formats, and refused ones."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import helpers.registered  # noqa: F401  # its import registers the experiments
import pytest
from helpers import data_trees as trees
from helpers.launched import NO_PICTURES
from helpers.run_folders import full_run

from jersey import config as configs
from jersey.compare.runs import read_run
from jersey.core.errors import UserError
from jersey.inference import Predictor
from jersey.runs.folder import RunFolder
from jersey.sweep.table import read_result

pytestmark = pytest.mark.slow

QUICK = ("--exp=resnet18_small", "--fiddler=smoke", "--fiddler=cpu", "--fdl_set=data.size_px=(32, 32)", *NO_PICTURES)


@pytest.fixture(scope="module")
def finished(crops_root: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Runs two epochs without a test split, with tracklets in val."""
    root = tmp_path_factory.mktemp("no_test") / "crops"
    shutil.copytree(crops_root, root, ignore=lambda folder, names: ["synth.json", ".decoded"])
    shutil.rmtree(root / "test")
    config = configs.get_experiment("resnet18_small")()
    config.data.root = str(root)
    config.data.size_px = (32, 32)
    config.data.batch_size = 8
    config.trainer.epochs = 2
    config.trainer.accelerator = "cpu"
    return full_run(config, "resnet18_small", tmp_path_factory.mktemp("runs"))


def test_a_run_without_a_test_split_reports_val_with_its_interval_and_exports(finished: RunFolder) -> None:
    report = (finished.path / "report.md").read_text(encoding="utf-8")
    assert "No test split: validation accuracy" in report
    assert "95 % interval" in report
    with (finished.path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    best = max(float(row["val/acc_top1"]) for row in rows)
    model = Predictor(finished.onnx).model
    assert json.loads(model.metadata["val_scores"])["acc_top1"] == best
    assert json.loads(model.metadata["test_scores"]) == {}
    assert f"{100 * best:.1f} %" in report.partition("95 % interval")[0]
    for each in model.thresholds:
        assert each.test_precision is None
        assert each.confidence is None or each.test_coverage is None
    assert (finished.path / "calibration_val.png").exists()
    assert not list(finished.path.glob("*_test*"))
    assert "no test split" in (finished.path / "audit.txt").read_text(encoding="utf-8")


def test_sweeps_and_comparisons_understand_a_run_without_a_test_split(finished: RunFolder) -> None:
    result = read_result(finished.path)
    assert result is not None
    assert result.test_top1 is None
    with pytest.raises(UserError, match="with a test split"):
        read_run(finished.path)


def test_a_refused_run_creates_nothing_and_the_named_switch_lets_it_start(
    launch: Callable[..., object], tmp_path: Path
) -> None:
    root = trees.jsonl(tmp_path / "crops")
    trees.save(root / "train" / "7" / "extra.png", 900)
    refused = launch(*QUICK, f"--fdl_set=root={root}")
    assert refused.returncode == 2  # type: ignore[attr-defined]
    assert "set data.format to folders or jsonl" in refused.stderr  # type: ignore[attr-defined]
    done = launch(*QUICK, f"--fdl_set=root={root}", "--fdl_set=data.format=jsonl")
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    assert "Files not used" in done.stderr  # type: ignore[attr-defined]
    assert "train/7/extra.png: image without a row" in done.stderr  # type: ignore[attr-defined]
