"""Monitoring of a real gradient scaler, in fits on the CPU with gradients that overflow at given steps."""

import logging
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from helpers.countdown import Countdown, rows_of
from helpers.small_run import KillAt, Killed, assert_same_training, fitted, noisy_module, small_trainer, tiny_data
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.precision import MixedPrecision
from torch.utils.data import DataLoader, TensorDataset

from jersey.callbacks.monitoring import LossScale
from jersey.runs.metrics_csv import MetricsCsv

BATCHES = 60


class Overflowing(Countdown):
    """A module whose gradient is infinite at the steps in `at`."""

    def __init__(self, at: set[int]) -> None:
        super().__init__()
        self.at = at

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        return loss * torch.inf if self.trainer.global_step in self.at else loss


def fit(folder: Path, at: set[int], scaler: dict[str, Any] | None, **settings: Any) -> list[dict[str, str]]:
    """Fits and returns the metrics of each epoch."""
    loader = DataLoader(TensorDataset(torch.ones(BATCHES, 1)), batch_size=1)
    scaling = torch.amp.GradScaler("cpu", **{"init_scale": 1024.0} | scaler) if scaler is not None else None
    plugins = [MixedPrecision("16-mixed", "cpu", scaling)] if scaling else None
    small_trainer(folder, LossScale(), logger=MetricsCsv(run_dir=folder), plugins=plugins, **settings).fit(
        Overflowing(at), loader
    )
    return rows_of(folder)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("at", "scaler", "settings", "skipped", "warning"),
    [
        # The last step of an epoch is counted in that epoch.
        ({0, 5, BATCHES - 1, BATCHES}, {}, {"epochs": 3}, [3, 1, 0], None),
        ({30}, {"growth_interval": 10}, {}, [1], None),  # a growing scale is not a skipped step
        ({3, 4, 5}, {"init_scale": 2.0}, {"epochs": 2}, [3, 0], "fallen to 0.5"),
        (
            set(range(2 * BATCHES)),
            {"init_scale": 2.0**100, "backoff_factor": 0.9},
            {"epochs": 2},
            [BATCHES] * 2,
            f"{BATCHES} of {BATCHES}",
        ),
        (set(range(10)), {"init_scale": 2.0**16}, {}, [10], None),  # the search for the initial scale causes no warning
        ({1}, {}, {"accumulate_grad_batches": 3}, [1], None),  # accumulated batches are one step
    ],
)
def test_skipped_steps_are_counted_per_epoch_and_many_cause_one_warning(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    at: set[int],
    scaler: dict[str, Any],
    settings: dict[str, Any],
    skipped: list[int],
    warning: str | None,
) -> None:
    rows = fit(tmp_path, at, scaler, **settings)
    assert [float(row["train/skipped_steps"]) for row in rows] == skipped
    warnings = warnings_in(caplog)
    assert len(warnings) == (warning is not None)
    assert warning is None or warning in warnings[0]
    scales = [float(row["train/loss_scale"]) for row in rows]
    if not scaler and len(rows) == 3:
        assert scales == [1024 / 2**3, 1024 / 2**4, 1024 / 2**4]
    if "growth_interval" in scaler:
        assert scales[0] > 1024


@pytest.mark.parametrize(
    ("scaler", "settings"),
    [(None, {"precision": "32-true"}), (None, {"precision": "bf16-mixed"}), ({"enabled": False}, {})],
)
def test_nothing_is_logged_without_an_active_loss_scale(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, scaler: dict[str, Any] | None, settings: dict[str, Any]
) -> None:
    row = fit(tmp_path, set(), scaler, **settings)[0]
    assert [name for name in row if "scale" in name or "skipped" in name] == []
    assert warnings_in(caplog) == []


class Fp16OnCpu(Callback):
    """Trains with a real gradient scaler, which Lightning only uses on a GPU; gradients overflow at the steps `at`."""

    def __init__(self, at: set[int]) -> None:
        self.at = at

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=3)
        trainer.strategy.precision_plugin = MixedPrecision("16-mixed", "cpu", scaler)

    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step in self.at:
            for parameter in pl_module.parameters():
                parameter.grad = torch.full_like(parameter, torch.inf)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch", [2, 4, 7, 10])
def test_run_killed_inside_an_epoch_keeps_the_loss_scale_and_its_counts(
    crops_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, batch: int
) -> None:
    """Overflows right before and after the checkpoint are each counted once, and the warning appears once."""
    data = tiny_data(crops_root)

    def run(name: str, *callbacks: Callback) -> dict[str, Any]:
        watched = (LossScale(), Fp16OnCpu({0, 1, 2, 3, 8, 9, 10}))
        return fitted(tmp_path / name, data, noisy_module(data), *watched, *callbacks, every_steps=2, epochs=2)

    whole = run("whole")
    warnings = warnings_in(caplog)
    with pytest.raises(Killed):
        run("killed", KillAt(batch))
    resumed = run("killed")
    assert_same_training(resumed, whole)
    assert resumed["MixedPrecision"] == whole["MixedPrecision"]
    assert (tmp_path / "killed" / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()
    assert [float(row["train/skipped_steps"]) for row in rows_of(tmp_path / "killed")] == [4, 3]
    assert len(warnings) == 1
    assert warnings_in(caplog) == 2 * warnings
