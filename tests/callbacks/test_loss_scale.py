"""The watch over a real gradient scaler, in fits on the CPU whose gradients overflow on command."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.countdown import Countdown, rows_of
from helpers.small_run import small_trainer
from lightning.pytorch.plugins.precision import MixedPrecision
from torch.utils.data import DataLoader, TensorDataset

from jersey.callbacks.monitoring import LossScale
from jersey.runs.metrics_csv import MetricsCsv

BATCHES = 60


class Overflows(Countdown):
    """Its gradient is infinite at each step whose number is in `at`."""

    def __init__(self, at: set[int]) -> None:
        super().__init__()
        self.at = at

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        return loss * torch.inf if self.trainer.global_step in self.at else loss


def fit(folder: Path, at: set[int], scaler: dict[str, Any] | None, **settings: Any) -> list[dict[str, str]]:
    """The metrics of each epoch."""
    loader = DataLoader(TensorDataset(torch.ones(BATCHES, 1)), batch_size=1)
    scaling = torch.amp.GradScaler("cpu", **{"init_scale": 1024.0} | scaler) if scaler is not None else None
    plugins = [MixedPrecision("16-mixed", "cpu", scaling)] if scaling else None
    small_trainer(folder, LossScale(), logger=MetricsCsv(run_dir=folder), plugins=plugins, **settings).fit(
        Overflows(at), loader
    )
    return rows_of(folder)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("at", "scaler", "settings", "skipped", "said"),
    [
        # The last step of an epoch belongs to it too.
        ({0, 5, BATCHES - 1, BATCHES}, {}, {"epochs": 3}, [3, 1, 0], None),
        ({30}, {"growth_interval": 10}, {}, [1], None),  # a growing scale is no skipped step
        ({3, 4, 5}, {"init_scale": 2.0}, {"epochs": 2}, [3, 0], "fallen to 0.5"),
        (
            set(range(2 * BATCHES)),
            {"init_scale": 2.0**100, "backoff_factor": 0.9},
            {"epochs": 2},
            [BATCHES] * 2,
            f"{BATCHES} of {BATCHES}",
        ),
        (set(range(10)), {"init_scale": 2.0**16}, {}, [10], None),  # the search for the first scale is no news
        ({1}, {}, {"accumulate_grad_batches": 3}, [1], None),  # accumulated batches are one step
    ],
)
def test_skipped_steps_of_each_epoch_are_counted_and_many_are_told_once(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    at: set[int],
    scaler: dict[str, Any],
    settings: dict[str, Any],
    skipped: list[int],
    said: str | None,
) -> None:
    rows = fit(tmp_path, at, scaler, **settings)
    assert [float(row["train/skipped_steps"]) for row in rows] == skipped
    warnings = warnings_in(caplog)
    assert len(warnings) == (said is not None)
    assert said is None or said in warnings[0]
    scales = [float(row["train/loss_scale"]) for row in rows]
    if not scaler and len(rows) == 3:
        assert scales == [1024 / 2**3, 1024 / 2**4, 1024 / 2**4]
    if "growth_interval" in scaler:
        assert scales[0] > 1024


@pytest.mark.parametrize(
    ("scaler", "settings"),
    [(None, {"precision": "32-true"}), (None, {"precision": "bf16-mixed"}), ({"enabled": False}, {})],
)
def test_idle_without_a_loss_scale_or_with_a_scaler_that_is_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, scaler: dict[str, Any] | None, settings: dict[str, Any]
) -> None:
    row = fit(tmp_path, set(), scaler, **settings)[0]
    assert [name for name in row if "scale" in name or "skipped" in name] == []
    assert warnings_in(caplog) == []
