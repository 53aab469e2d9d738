"""Optimizers and schedules as a module makes them: the update by hand, every step scheduled, and resumed runs."""

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from helpers.interrupted import EPOCHS, STEPS, assert_same_training, fitted, tiny_data, tiny_module
from lightning.pytorch.callbacks import Callback
from torch.optim.lr_scheduler import OneCycleLR

from jersey.callbacks.ema import EMA
from jersey.data.datamodule import JerseyDataModule
from jersey.training.optimizers import adamw, sgd
from jersey.training.schedules import constant, multi_step, one_cycle, warmup_cosine

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like

SCHEDULES = [
    partial(warmup_cosine, warmup_frac=0.2),
    partial(one_cycle, final_frac=0.01),
    partial(multi_step, milestones_frac=(0.25, 0.5)),
    partial(constant, warmup_frac=0.5),
    partial(OneCycleLR, max_lr=0.02),
]
OPTIMIZERS = [
    partial(sgd, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    partial(adamw, lr=0.01, weight_decay=0.05),
]


class Rates(Callback):
    """Keeps the learning rate of every optimizer step."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])


@pytest.fixture(scope="module")
def data(crops_root: Path) -> JerseyDataModule:
    return tiny_data(crops_root)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_momentum_by_hand(data: JerseyDataModule, nesterov: bool) -> None:
    """Two steps with gradient 1: velocity 1 + decay, then 0.9 of that beside the new gradient."""
    half = partial(sgd, lr=0.1, backbone_lr_scale=0.5, momentum=0.9, nesterov=nesterov, weight_decay=0.5)
    module = tiny_module(data, optimizer=half, schedule=constant)
    optimizer, _ = module.optimizer_and_schedule(2)
    lrs = {"backbone": 0.05, "head": 0.1}
    expected = {}
    for name, weight in module.network.named_parameters():
        decay, lr = (0.5 if weight.ndim > 1 else 0.0), lrs[name.partition(".")[0]]
        value, velocity = weight.detach().clone(), torch.zeros_like(weight)
        for _ in range(2):
            gradient = 1 + decay * value
            velocity = 0.9 * velocity + gradient
            value = value - lr * (gradient + 0.9 * velocity if nesterov else velocity)
        expected[name] = value
    for _ in range(2):
        for weight in module.network.parameters():
            weight.grad = torch.ones_like(weight)
        optimizer.step()
    for name, weight in module.network.named_parameters():
        torch.testing.assert_close(weight.detach(), expected[name])


@pytest.mark.parametrize(("schedule", "accumulate"), [*zip(SCHEDULES, itertools.cycle([1, 4]), strict=False)])
def test_every_step_of_a_run_has_its_rate(
    data: JerseyDataModule, tmp_path: Path, schedule: Any, accumulate: int
) -> None:
    recorder, steps = Rates(), EPOCHS * -(-STEPS // accumulate)
    fitted(tmp_path, data, tiny_module(data, schedule=schedule), recorder, accumulate=accumulate)
    optimizer, scheduler = tiny_module(data, schedule=schedule).optimizer_and_schedule(steps)
    expected = []
    for _ in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert recorder.rates == expected


@pytest.mark.parametrize(("schedule", "optimizer"), [*zip(SCHEDULES, itertools.cycle(OPTIMIZERS), strict=False)])
def test_a_resumed_run_is_an_uninterrupted_one(
    data: JerseyDataModule, tmp_path: Path, schedule: Any, optimizer: Any
) -> None:
    def run(folder: Path, **settings: Any) -> dict[str, Any]:
        module = tiny_module(data, schedule=schedule, optimizer=optimizer)
        return fitted(folder, data, module, EMA(half_life_epochs=0.3), **settings)

    whole = run(tmp_path / "whole")
    run(tmp_path / "parts", stop_after=2)
    assert_same_training(run(tmp_path / "parts"), whole)
