"""Monitoring of training: the learning rate, the loss scale of fp16, non-finite losses, and a progress bar.

Lightning's LearningRateMonitor was tried: its values have no epoch, its names depend on the optimizer (so two runs
share no curve in Aim), and groups with equal rates have one column each.
"""

import logging
import math
import sys
from collections import deque
from os.path import commonpath
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.optim import Optimizer

from jersey.callbacks.base import HostCopy, data_of
from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE_NAME
from jersey.core.tables import write_csv
from jersey.data.loader import PADDING, Batch
from jersey.data.split import relative_name
from jersey.runs.state import RunState
from jersey.training.module import log_exactly

log = logging.getLogger(__name__)

NOT_FINITE = "not_finite.csv"
EXPECTED_SKIPS = 10  # steps of an epoch: the initial scale, 65,536, is too large on purpose, and each skip halves it


class LearningRate(Callback):
    """Logs the learning rate of the last optimizer step of each epoch.

    The metric is `lr` if all parameter groups have the same peak. Otherwise each peak has a metric `lr/<name>`, named
    by the common prefix of its groups: `lr/backbone` and `lr/head`.
    """

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        # At the end of an epoch the schedule already has the rate of the next step.
        self._last = {name: group["lr"] for name, group in groups_by_peak(optimizer.param_groups).items()}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        log_exactly(pl_module, self._last)


def groups_by_peak(groups: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Returns one parameter group for each peak of the learning rate, by the name of its metric."""
    by_peak: dict[float, list[dict[str, Any]]] = {}
    for group in groups:
        # Schedules of torch store the peak; without a schedule the rate is constant.
        by_peak.setdefault(group.get("initial_lr", group["lr"]), []).append(group)
    if len(by_peak) == 1:
        return {"lr": groups[0]}
    return {f"lr/{_common_name(members)}": members[0] for members in by_peak.values()}


def _common_name(groups: list[dict[str, Any]]) -> str:
    names = [group["name"] for group in groups]
    # As paths, names are compared word by word: the groups "head_decay" and "head_no_decay" share "head".
    words = commonpath(name.replace("_", "/") for name in names)
    return words.replace("/", "_") or names[0]


class LossScale(Callback):
    """Logs `train/loss_scale` and `train/skipped_steps` each epoch and warns once; does nothing without a loss scale.

    The loss is multiplied by the scale so that small gradients do not vanish in half precision; a step whose gradients
    overflow is skipped and halves the scale: https://docs.pytorch.org/docs/stable/amp.html#gradient-scaling. While the
    scale keeps falling, nothing is learned. A scale below 1, where unscaled gradients overflow, also causes a warning.

    Args:
        tolerated_frac: fraction of an epoch's optimizer steps that, besides 10 steps, may be skipped without a warning.
    """

    def __init__(self, *, tolerated_frac: float = 0.05) -> None:
        self.tolerated_frac = tolerated_frac
        self._scale: float | None = None
        self._steps = 0
        self._skipped = 0
        self._has_warned = False

    def state_dict(self) -> dict[str, Any]:
        """Returns the counts of an unfinished epoch; Lightning stores the scale itself."""
        names = ("scale", "steps", "skipped", "has_warned")
        return {name: getattr(self, f"_{name}") for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, f"_{name}", value)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        # The scaler waits for the device right after this hook, so reading the scale here costs nothing.
        self._observe(trainer)
        self._steps += 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._observe(trainer)
        if self._scale is not None:
            log_exactly(pl_module, {"train/loss_scale": self._scale, "train/skipped_steps": self._skipped})
            if self._skipped > EXPECTED_SKIPS + self.tolerated_frac * self._steps:
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
    def _warn(self, problem: str) -> None:
        if not self._has_warned:
            log.warning(
                "fp16: %s; such steps are skipped, so lower module.optimizer.lr or change trainer.precision", problem
            )
        self._has_warned = True


class _Loss(NamedTuple):
    """The loss of a batch, on its way to the host.

    Attributes:
        copy: copy of the loss.
        indices_B: rows of the batch in the train split.
        step: optimizer step.
    """

    copy: HostCopy
    indices_B: Tensor
    step: int


class StopOnNonFinite(Callback):
    """Stops the run after `max_steps` consecutive steps whose loss is infinite or NaN.

    The crops of the first such batch are listed in `not_finite.csv` of the run folder, and checkpoints from before are
    kept. No step waits for the GPU: each loss is checked when it has arrived, some steps later.

    Args:
        max_steps: number of consecutive steps, at least 1; with fp16 the loss scale skips single ones.

    Raises:
        UserError: `max_steps` is below 1.
    """

    def __init__(self, *, max_steps: int = 3) -> None:
        if max_steps < 1:
            raise UserError(f"trainer.callbacks.stop_on_non_finite.max_steps={max_steps} must be at least 1")
        self.max_steps = max_steps
        self._arriving: deque[_Loss] = deque()
        self._non_finite: list[_Loss] = []

    def join(self, run: RunState) -> None:
        """Excludes weights with a non-finite loss from checkpoints."""
        run.is_loss_broken = self.is_broken

    def is_broken(self, trainer: Trainer) -> bool:
        """Waits for the loss of the last step and returns whether it is not finite."""
        for each in self._arriving:
            each.copy.wait()
        self._check(trainer)
        return bool(self._non_finite)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self._arriving.append(_Loss(HostCopy.of(outputs["loss"]), batch["indices"], trainer.global_step))
        self._check(trainer)

    def _check(self, trainer: Trainer) -> None:
        while self._arriving and self._arriving[0].copy.has_arrived:
            each = self._arriving.popleft()
            if math.isfinite(each.copy.value.numpy()):
                self._non_finite.clear()
                continue
            self._non_finite.append(each)
            if len(self._non_finite) == self.max_steps:
                self._stop(trainer)

    def _stop(self, trainer: Trainer) -> None:
        first = self._non_finite[0]
        train = data_of(trainer).splits["train"]
        rows = [row for row in first.indices_B.tolist() if row != PADDING]
        path = Path(trainer.default_root_dir) / NOT_FINITE
        root = data_of(trainer).root
        crops = (
            (first.step, relative_name(train.paths[row], root), train.labels[row] or ILLEGIBLE_NAME) for row in rows
        )
        write_csv(path, ("step", "file", "label"), crops)
        lr = trainer.optimizers[0].param_groups[0]["lr"]
        loss = float(first.copy.value)
        raise UserError(
            f"the loss is {loss} since optimizer step {first.step}, at a learning rate of {lr:.3g}; lower "
            f"module.optimizer.lr, or check the crops listed in {path}; the checkpoints are from before that step"
        )


class ProgressBar(TQDMProgressBar):
    """Shows a progress bar per epoch, on terminals only: in a log file each refresh would add a line.

    `jersey.runs.metrics_csv.EpochLogger` writes the permanent line of an epoch. The bar has the latest metrics by step.
    """

    def join(self, run: RunState) -> None:
        """Receives the metrics by step."""
        self._run = run

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Returns the metrics to show, by name."""
        shown = {name: f"{value:.3g}" for name, value in self._run.step_metrics.items()}
        return super().get_metrics(trainer, pl_module) | shown

    @property
    def is_enabled(self) -> bool:
        return super().is_enabled and sys.stdout.isatty()
