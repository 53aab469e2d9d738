"""Whether training is well: the learning rate, the loss scale of fp16, a loss that is no number, and a progress bar.

Lightning's LearningRateMonitor was tried: its numbers carry no epoch, its names change with the optimizer (so two
runs share no curve in Aim), and decaying and other parameters of equal rates have a column each.
"""

import logging
import math
import sys
from collections import deque
from os.path import commonpath
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.optim import Optimizer

from jersey.callbacks.base import data_of
from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE_NAME
from jersey.core.tables import write_csv
from jersey.data.loader import PADDING, Batch
from jersey.runs.state import RunState
from jersey.training.module import log_exactly

log = logging.getLogger(__name__)

FILE = "not_finite.csv"
USUAL_SKIPS = 10  # of an epoch: the first scale, 65,536, is meant to be too large


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
        log_exactly(pl_module, self._last)


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


class LossScale(Callback):
    """Logs `train/loss_scale` and `train/skipped_steps` each epoch, and warns once; without a loss scale it is idle.

    The loss is multiplied by the scale so that small gradients do not vanish in half precision; a step whose gradients
    overflow is skipped and halves the scale: https://docs.pytorch.org/docs/stable/amp.html#gradient-scaling. A scale
    that keeps falling is a training that stands still.

    Args:
        tolerated_frac: share of an epoch's optimizer steps that may be skipped, beside 10, before it warns. It also
            warns when the scale falls below 1, where gradients overflow by themselves.
    """

    def __init__(self, *, tolerated_frac: float = 0.05) -> None:
        self.tolerated_frac = tolerated_frac
        self._scale: float | None = None
        self._steps = 0
        self._skipped = 0
        self._has_warned = False

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        # The scaler waits for the device right after this hook anyway, so reading the scale here costs nothing.
        self._observe(trainer)
        self._steps += 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._observe(trainer)
        if self._scale is not None:
            log_exactly(pl_module, {"train/loss_scale": self._scale, "train/skipped_steps": self._skipped})
            if self._skipped > USUAL_SKIPS + self.tolerated_frac * self._steps:
                self._warn(f"gradients overflowed in {self._skipped} of {self._steps} steps of an epoch")
        self._steps = self._skipped = 0

    def _observe(self, trainer: Trainer) -> None:
        plugin = trainer.precision_plugin
        if not isinstance(plugin, MixedPrecision) or plugin.scaler is None or not plugin.scaler.is_enabled():
            return
        scale = plugin.scaler.get_scale()
        if self._scale is not None and scale < self._scale:
            self._skipped += 1
        if scale < 1:
            self._warn(f"the loss scale has fallen to {scale:g}")
        self._scale = scale

    @rank_zero_only
    def _warn(self, what: str) -> None:
        if not self._has_warned:
            log.warning("fp16: %s, and such steps are skipped; lower the learning rate or leave fp16", what)
        self._has_warned = True


class _Loss(NamedTuple):
    """Of a batch: itself, on its way to the host or there, its rows, and the optimizer steps done by then."""

    loss: Tensor
    arrival: torch.cuda.Event | None
    indices_B: Tensor
    step: int


class StopOnNonFinite(Callback):
    """Ends the run after so many steps in a row whose loss is infinite or not a number.

    The crops of the first such batch are then listed in `not_finite.csv` of the run folder, and the checkpoints stay
    those from before. No step waits for the GPU: each loss is looked at when it has arrived, some steps later.

    Args:
        max_steps: how many in a row; with fp16 the loss scale skips single ones.
    """

    def __init__(self, *, max_steps: int = 3) -> None:
        if max_steps < 1:
            raise UserError(f"trainer.callbacks.stop_on_non_finite.max_steps={max_steps} has to be at least 1")
        self.max_steps = max_steps
        self._arriving: deque[_Loss] = deque()
        self._broken: list[_Loss] = []

    def join(self, run: RunState) -> None:
        """Keeps broken weights out of the checkpoints."""
        run.is_loss_broken = self.is_broken

    def is_broken(self, trainer: Trainer) -> bool:
        """Whether the loss of the last step is not finite; waits for it."""
        for each in self._arriving:
            if each.arrival is not None:
                each.arrival.synchronize()
        self._look(trainer)
        return bool(self._broken)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        loss, arrival = outputs["loss"].detach(), None
        if loss.is_cuda:
            loss = torch.empty_like(loss, device="cpu", pin_memory=True).copy_(loss, non_blocking=True)
            arrival = torch.cuda.Event()
            arrival.record()
        self._arriving.append(_Loss(loss, arrival, batch["indices"], trainer.global_step))
        self._look(trainer)

    def _look(self, trainer: Trainer) -> None:
        while self._arriving and (self._arriving[0].arrival is None or self._arriving[0].arrival.query()):
            each = self._arriving.popleft()
            if math.isfinite(each.loss.numpy()):
                self._broken.clear()
                continue
            self._broken.append(each)
            if len(self._broken) == self.max_steps:
                self._stop(trainer)

    def _stop(self, trainer: Trainer) -> None:
        first = self._broken[0]
        train = data_of(trainer).splits["train"]
        rows = [row for row in first.indices_B.tolist() if row != PADDING]
        path = Path(trainer.default_root_dir) / FILE
        crops = ((first.step, train.paths[row], train.labels[row] or ILLEGIBLE_NAME) for row in rows)
        write_csv(path, ("step", "file", "label"), crops)
        lr = trainer.optimizers[0].param_groups[0]["lr"]
        raise UserError(
            f"the loss is {float(first.loss)} since optimizer step {first.step}, at a learning rate of {lr:.3g}; lower "
            f"module.optimizer.lr, or look at the crops named in {path}; the checkpoints are from before"
        )


class ProgressBar(TQDMProgressBar):
    """A bar for each epoch, on terminals only: in a log file each refresh would be a line of its own.

    The line that stays is that of `jersey.runs.metrics_csv.EpochLogger`.
    """

    @property
    def is_enabled(self) -> bool:
        return super().is_enabled and sys.stdout.isatty()
