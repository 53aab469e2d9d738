"""What callbacks that show a scored split share: when to look."""

from typing import TYPE_CHECKING, Literal, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

if TYPE_CHECKING:
    from jersey.training.module import JerseyModule

Subset = Literal["val", "test"]


class AfterEvaluation(Callback):
    """Calls `evaluated` after every validation and after the test, on rank zero; the sanity check is none.

    By then `module.evaluations[subset]` holds all logits of the split, so nothing needs the network again. After a
    validation the module's weights may be raw ones again while the logits came from their average.
    """

    def evaluated(self, trainer: Trainer, module: "JerseyModule", subset: Subset) -> None:
        """To be written by each callback."""
        raise NotImplementedError

    @rank_zero_only
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self.evaluated(trainer, cast("JerseyModule", pl_module), "val")

    @rank_zero_only
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.evaluated(trainer, cast("JerseyModule", pl_module), "test")
