"""Exponential moving average of weights and buffers, which is validated, saved as best and exported.

Lightning's `WeightAveraging` swaps the weights for validation and saves both sets in each checkpoint; this class adds a
decay ramp and foreach kernels. Averaging: Polyak and Juditsky 1992, https://doi.org/10.1137/0330046; the ramp:
https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage.
"""

import math

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn

from jersey.core.errors import UserError
from jersey.runs.state import RunState


class EMA(WeightAveraging):
    """Averages the weights during training.

    Args:
        decay: weight of the old average at each step after the ramp, in [0, 1). The half-life is
            log(0.5) / log(decay) steps: 34 at 0.98, 693 at 0.999. The ramp passes 0.98 after 440 steps and 0.998 after
            4,490, so shorter runs never reach the decay.
        half_life_epochs: epochs after which the old average has half its weight; replaces the decay, and does not
            depend on the batch size and the number of crops.
        ramp: whether the decay starts at 0 and rises, so that random initial weights are forgotten soon. Without it the
            average starts at the initial weights. For pretrained ones, with a half-life of about half the run, that is
            similar to averaging them with the fine-tuned ones (Wortsman et al. 2022, https://arxiv.org/abs/2109.01903).
        every_steps: optimizer steps between two updates. An update accounts for the steps since the previous one, so
            the decay has the same meaning at any value. The last step of an epoch always has an update.

    Raises:
        UserError: both or neither of decay and half-life are given, or a value is out of range.
    """

    def __init__(
        self,
        *,
        decay: float | None = None,
        half_life_epochs: float | None = None,
        ramp: bool = True,
        every_steps: int = 1,
    ) -> None:
        super().__init__(use_buffers=True)
        given = f"trainer.callbacks.ema has decay={decay} and half_life_epochs={half_life_epochs}"
        if (decay is None) == (half_life_epochs is None):
            raise UserError(f"{given}; give one of them and set the other to None")
        if not (decay is None or 0 <= decay < 1) or not (half_life_epochs is None or half_life_epochs > 0):
            raise UserError(f"{given}; a decay is at least 0 and below 1, a half-life above 0")
        if every_steps < 1:
            raise UserError(f"trainer.callbacks.ema.every_steps={every_steps} must be at least 1")
        self.decay = decay
        self.ramp = ramp
        self.every_steps = every_steps
        self.half_life_epochs = half_life_epochs

    def join(self, run: RunState) -> None:
        """Records in checkpoints that the EMA weights are evaluated."""
        run.eval_weights = "ema"

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        # The module moves to its device after this hook; an average on the CPU would cost a copy per step.
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.set_epoch_steps(math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches))

    def set_epoch_steps(self, epoch_steps: int) -> None:
        """Derives the decay from the half-life and the optimizer steps of an epoch."""
        if self.half_life_epochs is not None:
            self.decay = 0.5 ** (1 / (self.half_life_epochs * epoch_steps))

    def decay_at(self, step: int) -> float:
        """Returns the decay after `step` optimizer steps; with the ramp it is 0 at first, which copies the weights.

        Raises:
            RuntimeError: the decay follows from a half-life, and `set_epoch_steps` was not called yet.
        """
        if self.decay is None:
            raise RuntimeError("the decay of a half-life in epochs is known only after set_epoch_steps")
        if not self.ramp:
            return self.decay
        return min(self.decay, (1 + step) / (10 + step)) if step else 0.0

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # After fit the module holds the weights to validate, which may be those of an earlier epoch.
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_validation_epoch_end(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        # The base class reads the number of updates from the device at every update, and waits for it.
        previous, now = self._latest_update_step, trainer.global_step  # both are restored on resume
        if now > previous and (now - previous >= self.every_steps or trainer.is_last_batch):
            decays = map(self.decay_at, range(previous, now))
            self._update(pl_module, decay=math.prod(decays))
            self._latest_update_step = now

    @torch.no_grad()
    def _update(self, pl_module: L.LightningModule, *, decay: float) -> None:
        assert self._average_model is not None
        averages, currents = (
            [*module.parameters(), *module.buffers()] for module in (self._average_model.module, pl_module)
        )
        pairs = list(zip(averages, currents, strict=True))
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        counters = [pair for pair in pairs if not pair[0].is_floating_point()]
        torch._foreach_lerp_([average for average, _ in floats], [current for _, current in floats], 1 - decay)
        for average, current in counters:  # batch counts of batch normalization
            average.copy_(current)
        self._average_model.n_averaged += 1
