"""Exponential moving average of weights and buffers; validation, "best" and export speak of the average.

Lightning's `WeightAveraging` swaps the weights for validation and keeps both kinds in each checkpoint; this adds a
decay ramp and foreach kernels. Averaging: Polyak and Juditsky 1992, https://doi.org/10.1137/0330046; the ramp:
https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage.
"""

import math

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging

from jersey.core.errors import UserError
from jersey.runs.state import RunState


class EMA(WeightAveraging):
    """Averages the weights as training goes on.

    Args:
        decay: share of the old average that stays at each step, once the ramp is over. The half-life is
            log(0.5) / log(decay) steps: 34 at 0.98, 693 at 0.999. The ramp passes 0.98 after 440 steps and
            0.998 after 4,490; in shorter runs the ramp alone decides.
        half_life_epochs: in place of a decay: after so many epochs half of the old average is left. It means the same
            at any batch size and number of crops, for which a decay would have to change.
        every_steps: optimizer steps from one update to the next, which makes up for those it left out: a decay means
            the same at any value. An epoch's last step has an update always.

    Raises:
        UserError: both are given, or neither, or one that no average can have.
    """

    def __init__(
        self, *, decay: float | None = None, half_life_epochs: float | None = None, every_steps: int = 1
    ) -> None:
        super().__init__(use_buffers=True)
        given = f"trainer.callbacks.ema has decay={decay} and half_life_epochs={half_life_epochs}"
        if (decay is None) == (half_life_epochs is None):
            raise UserError(f"{given}; give one of them and set the other to None")
        if not (decay is None or 0 <= decay < 1) or not (half_life_epochs is None or half_life_epochs > 0):
            raise UserError(f"{given}; a decay is at least 0 and below 1, a half-life above 0")
        if every_steps < 1:
            raise UserError(f"trainer.callbacks.ema.every_steps={every_steps} has to be at least 1")
        self.decay = decay
        self.every_steps = every_steps
        self.half_life_epochs = half_life_epochs

    def join(self, run: RunState) -> None:
        """Lets the checkpoint say whose score it holds."""
        run.eval_weights = "ema"

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        # The module reaches its device only after this hook; an average left on the CPU would cost a copy each step.
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.set_epoch_steps(math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches))

    def set_epoch_steps(self, epoch_steps: int) -> None:
        """Derives the decay from the half-life, now that an epoch's optimizer steps are known."""
        if self.half_life_epochs is not None:
            self.decay = 0.5 ** (1 / (self.half_life_epochs * epoch_steps))

    def decay_at(self, step: int) -> float:
        """The decay after so many steps: small at first, so the random start is soon forgotten.

        The first update copies the weights instead.
        """
        if self.decay is None:
            raise RuntimeError("a half-life in epochs is a decay only after set_epoch_steps")
        return min(self.decay, (1 + step) / (10 + step))

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        # The base class asks the device at every update how many there have been, and waits for the answer.
        first, now = self._latest_update_step, trainer.global_step  # restored on resume, which keeps the ramp exact
        if now > first and (now - first >= self.every_steps or trainer.is_last_batch):
            self._update(pl_module, decay=math.prod(map(self.decay_at, range(first, now))) if first else 0.0)
            self._latest_update_step = now

    @torch.no_grad()
    def _update(self, pl_module: L.LightningModule, *, decay: float) -> None:
        assert self._average_model is not None
        averages, currents = (
            [*module.parameters(), *module.buffers()] for module in (self._average_model.module, pl_module)
        )
        pairs = list(zip(averages, currents, strict=True))
        learnt = [pair for pair in pairs if pair[0].is_floating_point()]
        counters = [pair for pair in pairs if not pair[0].is_floating_point()]
        torch._foreach_lerp_([average for average, _ in learnt], [current for _, current in learnt], 1 - decay)
        for average, current in counters:  # of batches
            average.copy_(current)
        self._average_model.n_averaged += 1
