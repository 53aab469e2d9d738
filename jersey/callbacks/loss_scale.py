"""Watches the loss scale of fp16: a scale that keeps falling is a training that stands still.

The loss is multiplied by the scale so that small gradients do not vanish in half precision; a step whose gradients
overflow is skipped and halves the scale: https://docs.pytorch.org/docs/stable/amp.html#gradient-scaling.
"""

import logging

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.utilities import rank_zero_only
from torch.optim import Optimizer

log = logging.getLogger(__name__)

USUAL_SKIPS = 10  # of an epoch: the first scale, 65,536, is meant to be too large


class LossScale(Callback):
    """Logs `train/loss_scale` and `train/skipped_steps` each epoch, and warns once; without a loss scale it is idle.

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
            scores = {"train/loss_scale": self._scale, "train/skipped_steps": self._skipped}
            pl_module.log_dict({name: torch.tensor(score, dtype=torch.float64) for name, score in scores.items()})
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
