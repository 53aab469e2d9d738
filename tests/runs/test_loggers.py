"""Loggers beside Aim: each receives what `metrics.csv` and `steps.csv` have, and Aim can be left out."""

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path

import fiddle as fdl
import helpers.registered  # noqa: F401  # its import registers the parts
import pytest
from helpers.launched import NO_PICTURES
from helpers.small_run import small_data, small_module
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jersey import config as configs
from jersey.callbacks.step_metrics import StepMetrics
from jersey.config.saved import from_json
from jersey.core.errors import UserError
from jersey.recipes.resnet18_small import resnet18_small
from jersey.runs.loggers import connect, csv_logger, tensorboard_logger
from jersey.runs.metrics_csv import MetricsCsv
from jersey.training.trainer import make_trainer

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like

Curve = list[tuple[int, float]]


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def curve_of(file: Path, name: str) -> Curve:
    return [(int(row["step"]), float(row[name])) for row in rows_of(file) if row.get(name)]


def from_csv(run_dir: Path, name: str) -> Curve:
    return curve_of(run_dir / "csv" / "version_0" / "metrics.csv", name)


def from_tensorboard(run_dir: Path, name: str) -> Curve:
    events = EventAccumulator(str(run_dir / "tensorboard"))
    events.Reload()
    return [(each.step, each.value) for each in events.Scalars(name)]


LOGGERS = {"csv": (csv_logger, from_csv), "tensorboard": (tensorboard_logger, from_tensorboard)}


@pytest.mark.parametrize("name", LOGGERS)
def test_a_logger_receives_the_metrics_by_epoch_and_by_step(name: str, crops_root: Path, tmp_path: Path) -> None:
    make_logger, read = LOGGERS[name]
    data = small_data(crops_root)
    module, logger = small_module(data), make_logger(run_dir=tmp_path)
    trainer = make_trainer(
        run_dir=tmp_path,
        loggers=[MetricsCsv(run_dir=tmp_path), logger],
        run_state=module.run_state,
        callbacks={"step_metrics": StepMetrics(every_steps=1)},
        epochs=2,
        accelerator="cpu",
    )
    connect(logger, module.run_state, {"module.optimizer.lr": 0.01, "data.size_px": (32, 32), "module": module})
    trainer.fit(module, datamodule=data)
    for file, metric in (("metrics.csv", "val/acc_top1"), ("steps.csv", "train/loss_step")):
        expected = curve_of(tmp_path / file, metric)
        found = read(tmp_path, metric)
        assert len(expected) == (2 if file == "metrics.csv" else 2 * len(data.train_dataloader()))
        assert [step for step, _ in found] == [step for step, _ in expected]
        assert [value for _, value in found] == pytest.approx([value for _, value in expected], abs=1e-5)
    (hparams,) = tmp_path.rglob("hparams.yaml")
    assert "module.optimizer.lr: 0.01" in hparams.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", LOGGERS)
def test_the_config_names_a_logger_and_leaves_aim_out(name: str) -> None:
    config = resnet18_small()
    for override in (f"logger={name}", "tracker=None"):
        configs.apply_override(config, override)
    built = fdl.build(config)
    assert built.tracker is None
    assert built.logger.func is LOGGERS[name][0]
    again = from_json(configs.to_json(config, "e"), ("jersey", "torch", "lightning"))
    assert configs.as_text(again) == configs.as_text(config)


def test_a_logger_that_is_unknown_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"unknown part for logger 'wandb'; known: csv, tensorboard"):
        configs.apply_override(resnet18_small(), "logger=wandb")


def test_without_tensorboard_its_logger_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning looks for the packages once, when it is imported."""
    for name in ("_TENSORBOARD_AVAILABLE", "_TENSORBOARDX_AVAILABLE"):
        monkeypatch.setattr(f"lightning.fabric.loggers.tensorboard.{name}", False)
    with pytest.raises(UserError, match=r'needs TensorBoard; run pip install "jersey\[tensorboard\]"'):
        tensorboard_logger(run_dir=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_with_tensorboard_and_without_aim(
    launch: Callable[..., subprocess.CompletedProcess[str]], crops_root: Path, tmp_path: Path
) -> None:
    flags = ["--exp=resnet18_small", f"--fdl_set=root={crops_root}", "--fiddler=smoke", "--fiddler=cpu", *NO_PICTURES]
    size = ["--fdl_set=data.size_px=(32,32)", "--fdl_set=profile=False", "--run=one"]
    result = launch(*flags, *size, "--fdl_set=logger=tensorboard", "--fdl_set=tracker=None")
    assert result.returncode == 0, result.stderr
    run = tmp_path / "runs" / "resnet18_small" / "one"
    assert (run / "model.onnx").exists()
    assert not [path for path in (tmp_path / "runs").rglob("*") if "aim" in path.name]
    ((_, expected),) = curve_of(run / "metrics.csv", "test/acc_top1")
    ((_, found),) = from_tensorboard(run, "test/acc_top1")
    assert found == pytest.approx(expected, abs=1e-5)
