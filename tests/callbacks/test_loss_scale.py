"""The watch over a real gradient scaler, in fits on the CPU whose gradients overflow on command."""

import logging
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from helpers.countdown import Countdown, rows_of
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


def scaler(**settings: Any) -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", **{"init_scale": 1024.0} | settings)


def fit(folder: Path, at: set[int], *, scaler: torch.amp.GradScaler | None, epochs: int = 1, **settings: Any) -> None:
    loader = DataLoader(TensorDataset(torch.ones(BATCHES, 1)), batch_size=1)
    plugins = [MixedPrecision("16-mixed", "cpu", scaler)] if scaler else None
    trainer = L.Trainer(
        default_root_dir=folder,
        logger=MetricsCsv(run_dir=folder),
        callbacks=[LossScale()],
        plugins=plugins,
        max_epochs=epochs,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **settings,
    )
    trainer.fit(Overflows(at), loader)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_scale_and_skipped_steps_of_each_epoch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The last step of an epoch belongs to it too."""
    fit(tmp_path, {0, 5, BATCHES - 1, BATCHES}, scaler=scaler(), epochs=3)
    scales = [float(row["train/loss_scale"]) for row in rows_of(tmp_path)]
    skipped = [float(row["train/skipped_steps"]) for row in rows_of(tmp_path)]
    assert scales == [1024 / 2**3, 1024 / 2**4, 1024 / 2**4]
    assert skipped == [3, 1, 0]
    assert warnings_in(caplog) == []


def test_a_growing_scale_is_no_skipped_step(tmp_path: Path) -> None:
    fit(tmp_path, {30}, scaler=scaler(growth_interval=10))
    (row,) = rows_of(tmp_path)
    assert float(row["train/skipped_steps"]) == 1
    assert float(row["train/loss_scale"]) > 1024


def test_a_scale_below_one_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fit(tmp_path, {3, 4, 5}, scaler=scaler(init_scale=2.0), epochs=2)
    (message,) = warnings_in(caplog)
    assert "0.5" in message


def test_many_skipped_steps_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fit(tmp_path, set(range(2 * BATCHES)), scaler=scaler(init_scale=2.0**100, backoff_factor=0.9), epochs=2)
    (message,) = warnings_in(caplog)
    assert f"{BATCHES} of {BATCHES}" in message


def test_the_search_for_the_first_scale_is_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fit(tmp_path, set(range(10)), scaler=scaler(init_scale=2.0**16))
    assert float(rows_of(tmp_path)[0]["train/skipped_steps"]) == 10
    assert warnings_in(caplog) == []


def test_accumulated_batches_are_one_step(tmp_path: Path) -> None:
    fit(tmp_path, {1}, scaler=scaler(), accumulate_grad_batches=3)
    assert float(rows_of(tmp_path)[0]["train/skipped_steps"]) == 1


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_idle_without_a_loss_scale(tmp_path: Path, caplog: pytest.LogCaptureFixture, precision: Any) -> None:
    fit(tmp_path, set(), scaler=None, precision=precision)
    assert [name for name in rows_of(tmp_path)[0] if "scale" in name or "skipped" in name] == []
    assert warnings_in(caplog) == []


def test_idle_with_a_scaler_that_is_off(tmp_path: Path) -> None:
    fit(tmp_path, set(), scaler=scaler(enabled=False))
    assert "train/loss_scale" not in rows_of(tmp_path)[0]
