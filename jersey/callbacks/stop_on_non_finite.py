"""Stops a training whose loss is no number any more, and keeps what led there."""

import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE_NAME
from jersey.core.tables import write_csv
from jersey.data.loader import PADDING, Batch

if TYPE_CHECKING:
    from jersey.data.datamodule import JerseyDataModule

FILE = "not_finite.csv"


@dataclass(frozen=True)
class _Loss:
    """Of a batch: itself, on its way to the host or there, its rows, and the optimizer steps done by then."""

    loss: Tensor
    arrival: torch.cuda.Event | None
    indices_B: Tensor
    step: int


class FiniteLoss(Callback):
    """Ends the run after so many steps in a row whose loss is infinite or not a number.

    The crops of the first such batch are then listed in `not_finite.csv` of the run folder, and the checkpoints stay
    those from before: `RunCheckpoint` asks `is_broken`. No step waits for the GPU: each loss is looked at when it has
    arrived, some steps later.

    Args:
        after_steps: how many in a row; with fp16 the loss scale skips single ones.
    """

    def __init__(self, *, after_steps: int = 3) -> None:
        if after_steps < 1:
            raise UserError(f"trainer.callbacks.finite_loss.after_steps={after_steps} has to be at least 1")
        self.after_steps = after_steps
        self._arriving: deque[_Loss] = deque()
        self._broken: list[_Loss] = []

    def is_broken(self, trainer: L.Trainer) -> bool:
        """Whether the loss of the last step is not finite; waits for it."""
        for each in self._arriving:
            if each.arrival is not None:
                each.arrival.synchronize()
        self._look(trainer)
        return bool(self._broken)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        loss, arrival = outputs["loss"].detach(), None
        if loss.is_cuda:
            loss = torch.empty_like(loss, device="cpu", pin_memory=True).copy_(loss, non_blocking=True)
            arrival = torch.cuda.Event()
            arrival.record()
        self._arriving.append(_Loss(loss, arrival, batch["indices"], trainer.global_step))
        self._look(trainer)

    def _look(self, trainer: L.Trainer) -> None:
        while self._arriving and (self._arriving[0].arrival is None or self._arriving[0].arrival.query()):
            each = self._arriving.popleft()
            if math.isfinite(each.loss.numpy()):
                self._broken.clear()
                continue
            self._broken.append(each)
            if len(self._broken) == self.after_steps:
                self._stop(trainer)

    def _stop(self, trainer: L.Trainer) -> None:
        first = self._broken[0]
        data = cast("JerseyDataModule", trainer.datamodule)  # type: ignore[attr-defined]  # set by `fit`
        train = data.splits["train"]
        rows = [row for row in first.indices_B.tolist() if row != PADDING]
        path = Path(trainer.default_root_dir) / FILE
        crops = ((first.step, train.paths[row], train.labels[row] or ILLEGIBLE_NAME) for row in rows)
        write_csv(path, ("step", "file", "label"), crops)
        lr = trainer.optimizers[0].param_groups[0]["lr"]
        raise UserError(
            f"the loss is {float(first.loss)} since optimizer step {first.step}, at a learning rate of {lr:.3g}; lower "
            f"module.optimizer.lr, or look at the crops named in {path}; the checkpoints are from before"
        )
