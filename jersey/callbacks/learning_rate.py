"""The learning rate in the metrics, once an epoch.

Lightning's LearningRateMonitor was tried: its numbers carry no epoch, its names change with the optimizer (so two
runs share no curve in Aim), and decaying and other parameters of equal rates have a column each.
"""

from os.path import commonpath
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer


class LearningRate(Callback):
    """Logs the learning rate of the last optimizer step of each epoch.

    As `lr` where all parameter groups have the same peak. Otherwise as `lr/<name>`, one for each peak, named by the
    words that the names of its groups share at the front: `lr/backbone` and `lr/head`.
    """

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        # At the end of an epoch the schedule has already moved on to the next step's rate.
        self._last = {name: group["lr"] for name, group in _by_peak(optimizer.param_groups).items()}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # As tensors of double precision: Lightning would round Python's floats to single.
        pl_module.log_dict({name: torch.tensor(rate, dtype=torch.float64) for name, rate in self._last.items()})


def _by_peak(groups: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """One group of each peak, by metric name."""
    alike: dict[float, list[dict[str, Any]]] = {}
    for group in groups:
        # Schedules of torch keep the peak; without one the rate stays what it is.
        alike.setdefault(group.get("initial_lr", group["lr"]), []).append(group)
    if len(alike) == 1:
        return {"lr": groups[0]}
    return {f"lr/{_common_name(members)}": members[0] for members in alike.values()}


def _common_name(groups: list[dict[str, Any]]) -> str:
    names = [group["name"] for group in groups]
    words = commonpath(name.replace("_", "/") for name in names)
    return words.replace("/", "_") or names[0]
