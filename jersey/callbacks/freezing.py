"""Freezing of pretrained parts: the backbone in the first part of a run, or the statistics of batch normalization.

The first gradients of a new head are large and random, and would distort pretrained features; see
https://arxiv.org/abs/2202.10054. Lightning's `BackboneFinetuning` counts epochs, and adds the backbone to the optimizer
when it is unfrozen, which the schedule and a resumed run would have to handle.
"""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from jersey.callbacks.base import module_of
from jersey.core.errors import UserError
from jersey.runs.state import RunState
from jersey.training.sam import BatchNorm


class FreezeBackbone(Callback):
    """Freezes the backbone's weights and batch statistics in the first part of the run.

    Torch's optimizers skip a weight without a gradient, including its decay and momentum. The number of optimizer steps
    alone determines whether the backbone is frozen, so a resumed run needs no other state. The schedule continues
    meanwhile, so the backbone starts at the learning rate of that step.

    Args:
        freeze_frac: fraction of the run's optimizer steps, in [0, 1]; at 1 only the head is trained.

    Raises:
        UserError: the fraction is out of range.
    """

    def __init__(self, *, freeze_frac: float) -> None:
        if not 0 <= freeze_frac <= 1:
            raise UserError(
                f"trainer.callbacks.freeze_backbone.freeze_frac={freeze_frac} is not a fraction; give one in [0, 1]"
            )
        self.freeze_frac = freeze_frac
        self._steps = 0
        self._frozen: list[Tensor] | None = None

    def join(self, run: RunState) -> None:
        """Records for DDP that some weights have no gradient for a part of the run."""
        run.freezes_weights = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._steps = round(self.freeze_frac * int(trainer.estimated_stepping_batches))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        # The backbone is frozen only during a training batch, so that other callbacks find the network unchanged.
        if trainer.global_step < self._steps:
            backbone = module_of(pl_module).network.backbone.eval()
            self._frozen = [weight for weight in backbone.parameters() if weight.requires_grad]
            for weight in self._frozen:
                weight.requires_grad_(False)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if self._frozen is not None:
            module_of(pl_module).network.backbone.train()
            for weight in self._frozen:
                weight.requires_grad_(True)
            self._frozen = None


class FreezeBatchNorm(Callback):
    """Normalizes with the batch statistics of the pretrained weights in training, too; scale and shift are trained.

    A few hundred crops give noisy statistics, and a class-balanced sampler shows another mix of crops than the one that
    will be read. Use it only with pretrained weights.
    """

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        for module in module_of(pl_module).network.modules():
            if isinstance(module, BatchNorm):
                module.eval()
