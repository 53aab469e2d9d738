"""Metrics by step, compared with what the optimizer saw, at intervals and across a resume."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.small_run import EPOCHS, STEPS, KillAt, Killed, fitted, tiny_data, tiny_module, trainer_in
from lightning.pytorch import Callback

from jersey.callbacks.step_metrics import StepMetrics
from jersey.core.errors import UserError
from jersey.runs.metrics_csv import read_rates
from jersey.training.module import JerseyModule

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like


class Witness(Callback):
    """Reads loss, gradient norm and learning rate of every step."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float, float]] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        squares = sum(float(each.grad.square().sum()) for each in pl_module.parameters() if each.grad is not None)
        self._norm, self._rate = squares**0.5, optimizer.param_groups[0]["lr"]

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
        self.seen.append((float(outputs["loss"]), self._norm, self._rate))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "steps.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("every_steps", [1, 4, None])
def test_every_interval_has_the_values_that_the_optimizer_saw(
    crops_root: Path, tmp_path: Path, every_steps: int | None
) -> None:
    data, witness = tiny_data(crops_root), Witness()
    module = tiny_module(data)
    recorded: list[int] = []
    module.run_state.log_step = lambda metrics, step: recorded.append(step)
    fitted(tmp_path, data, module, witness, StepMetrics(every_steps=every_steps))
    expected_steps = list(range(0, EPOCHS * STEPS, every_steps or 1))
    assert [int(row["step"]) for row in rows(tmp_path)] == recorded == expected_steps
    for row, step in zip(rows(tmp_path), expected_steps, strict=True):
        assert float(row["epochs"]) == pytest.approx((step + 1) / STEPS, abs=1e-5)
        values = [float(row[name]) for name in ("train/loss_step", "train/grad_norm", "lr_step")]
        assert values == pytest.approx(witness.seen[step], rel=1e-4)
    assert read_rates(tmp_path)["lr"] == [(float(row["epochs"]), float(row["lr_step"])) for row in rows(tmp_path)]
    assert module.run_state.step_metrics["loss"] == float(rows(tmp_path)[-1]["train/loss_step"])


def test_a_resumed_run_has_each_step_once(crops_root: Path, tmp_path: Path) -> None:
    data = tiny_data(crops_root)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    fitted(whole, data, tiny_module(data), StepMetrics(every_steps=1), every_steps=2)
    with pytest.raises(Killed):
        fitted(killed, data, tiny_module(data), StepMetrics(every_steps=1), KillAt(9), every_steps=2)
    with (killed / "steps.csv").open("a", encoding="utf-8") as file:
        file.write("10,1.8")  # a part of a row
    fitted(killed, data, tiny_module(data), StepMetrics(every_steps=1), every_steps=2)
    assert (killed / "steps.csv").read_bytes() == (whole / "steps.csv").read_bytes()


def test_a_metric_that_the_module_logs_by_step_arrives_at_the_interval(crops_root: Path, tmp_path: Path) -> None:
    class Mine(JerseyModule):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            self.log("mine", float(batch_idx), on_step=True, on_epoch=False)
            return super().training_step(batch, batch_idx)

    data = tiny_data(crops_root)
    module = tiny_module(data)
    module.__class__ = Mine
    trainer = trainer_in(tmp_path, module, StepMetrics(every_steps=2))
    logged: list[float] = []
    logger: Any = trainer.loggers[0]
    logger.log_metrics = lambda metrics, step=None: logged.extend(
        value for name, value in metrics.items() if name == "mine"
    )
    trainer.fit(module, datamodule=data)
    assert logged == [1.0, 3.0, 5.0]


@pytest.mark.parametrize("every_steps", [0, -3])
def test_an_interval_below_one_is_rejected(every_steps: int) -> None:
    with pytest.raises(UserError, match=f"every_steps={every_steps} must be at least 1"):
        StepMetrics(every_steps=every_steps)
