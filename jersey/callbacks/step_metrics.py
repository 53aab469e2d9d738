"""Loss, gradient norm and learning rate by step, without waiting for the device."""

import math
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from jersey.callbacks.base import HostCopy
from jersey.callbacks.monitoring import groups_by_peak
from jersey.core.errors import UserError
from jersey.runs.metrics_csv import StepsCsv
from jersey.runs.state import RunState

POINTS = 500  # of a run with the default interval: a curve has no visible gap, and Aim a small fraction of the time


class _Step(NamedTuple):
    """The metrics of a step.

    Attributes:
        step: index of the optimizer step.
        rates: learning rates by metric name.
        copy: loss and gradient norm, float32 [2].
    """

    step: int
    rates: Mapping[str, float]
    copy: HostCopy


class StepMetrics(Callback):
    """Records `train/loss_step`, `train/grad_norm` and `lr_step` at an interval: in `steps.csv`, Aim and the bar.

    The norm is that of all gradients before clipping. No step waits for the GPU: each value is read when it has
    arrived, some steps later. Metrics that a module logs with `on_step=True` reach the loggers at the same interval.

    Args:
        every_steps: interval in optimizer steps, at least 1; None for about 500 points in a run.

    Raises:
        UserError: `every_steps` is below 1.
    """

    def __init__(self, *, every_steps: int | None = None) -> None:
        if every_steps is not None and every_steps < 1:
            raise UserError(f"trainer.callbacks.step_metrics.every_steps={every_steps} must be at least 1, or None")
        self.every_steps = every_steps
        self._interval = 1
        self._steps_per_epoch = 1
        self._arriving: deque[_Step] = deque()
        self._norm: Tensor | None = None
        self._rates: dict[str, float] = {}
        self._run = RunState()

    def join(self, run: RunState) -> None:
        """Receives the place where metrics by step are recorded."""
        self._run = run

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._steps_per_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        total = self._steps_per_epoch * max(trainer.max_epochs or 1, 1)
        self._interval = self.every_steps or math.ceil(total / POINTS)
        trainer.log_every_n_steps = self._interval  # type: ignore[attr-defined]  # Lightning sets it in a connector
        if trainer.is_global_zero:
            self._table = StepsCsv(Path(trainer.default_root_dir), first_step=trainer.global_step)

    @rank_zero_only
    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if trainer.global_step % self._interval == 0:
            gradients = [each.grad for each in pl_module.parameters() if each.grad is not None]
            self._norm = get_total_norm(gradients).float()
            groups = groups_by_peak(optimizer.param_groups)
            self._rates = {name.replace("lr", "lr_step", 1): group["lr"] for name, group in groups.items()}

    @rank_zero_only
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: object, batch_idx: int
    ) -> None:
        if self._norm is not None:
            both_2 = torch.stack([outputs["loss"].detach().float(), self._norm])
            self._arriving.append(_Step(trainer.global_step - 1, self._rates, HostCopy.of(both_2)))
            self._norm = None
        self._record(trainer)

    @rank_zero_only
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for each in self._arriving:
            each.copy.wait()  # the metrics of the epoch have waited already
        self._record(trainer)

    def _record(self, trainer: Trainer) -> None:
        while self._arriving and self._arriving[0].copy.has_arrived:
            step, rates, copy = self._arriving.popleft()
            loss, norm = map(float, copy.value.numpy())
            metrics = {"train/loss_step": loss, "train/grad_norm": norm, **rates}
            self._run.step_metrics = {"loss": loss, "grad_norm": norm, **rates}
            self._run.log_step({**metrics, "epoch": step // self._steps_per_epoch}, step)
            self._table.append(step, (step + 1) / self._steps_per_epoch, metrics)
