"""The backbone stands still while the head finds its feet.

A new head's first gradients are large and random, and would wash out what a pretrained backbone knows; see
https://arxiv.org/abs/2202.10054. Lightning's `BackboneFinetuning` counts in epochs, and adds the backbone to the
optimizer when it thaws, which the schedule and a resumed run would have to know of.
"""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from jersey.callbacks.base import module_of
from jersey.core.errors import UserError
from jersey.runs.state import RunState


class FreezeBackbone(Callback):
    """Keeps the backbone's weights and batch statistics as they are for the first part of the run.

    A weight without a gradient is passed over by torch's optimizers, decay and momentum included. Whether a batch is
    frozen follows from the number of optimizer steps done, so a resumed run needs no more than that. The schedule goes
    on meanwhile: the backbone starts at the learning rate it finds.

    Args:
        freeze_frac: share of the run's optimizer steps, in [0, 1]; at 1 the head alone is trained.
    """

    def __init__(self, *, freeze_frac: float) -> None:
        if not 0 <= freeze_frac <= 1:
            raise UserError(
                f"trainer.callbacks.freeze_backbone.freeze_frac={freeze_frac} is no share of the run; give one in [0, 1]"
            )
        self.freeze_frac = freeze_frac
        self._steps = 0
        self._held: list[Tensor] | None = None

    def join(self, run: RunState) -> None:
        """Lets DDP know that some weights have no gradient for a while."""
        run.freezes_weights = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._steps = round(self.freeze_frac * int(trainer.estimated_stepping_batches))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        # Only while a batch is trained on: whoever looks at the network in between finds it as ever.
        if trainer.global_step < self._steps:
            backbone = module_of(pl_module).network.backbone.eval()
            self._held = [weight for weight in backbone.parameters() if weight.requires_grad]
            for weight in self._held:
                weight.requires_grad_(False)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if self._held is not None:
            module_of(pl_module).network.backbone.train()
            for weight in self._held:
                weight.requires_grad_(True)
            self._held = None
