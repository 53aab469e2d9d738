"""What callbacks that show a scored split share: when to look, and where a picture goes."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from jersey.atomic import replacing
from jersey.tracking import find_tracker

if TYPE_CHECKING:
    from jersey.module import JerseyModule

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


def publish(trainer: Trainer, image: Image.Image, name: str, *, subset: str) -> None:
    """Puts a picture into the run folder, as `<name>_<subset>.png` (the latest), and into Aim, as a sequence `name`."""
    with replacing(Path(trainer.default_root_dir) / f"{name}_{subset}.png") as temporary:
        image.save(temporary, format="PNG")
    is_fitting = trainer.state.fn == TrainerFn.FITTING
    tracker = find_tracker(trainer)
    # A validation outside fit repeats an epoch that is already there.
    if tracker is not None and (is_fitting or subset == "test"):
        # In fit Lightning logs an epoch's metrics at the step before the one that it counts by then.
        step = max(trainer.global_step - 1, 0) if is_fitting else trainer.global_step
        tracker.log_image(name, image, step=step, epoch=trainer.current_epoch, subset=subset)


def moment(trainer: Trainer, subset: str) -> str:
    """For a picture's title: "val, epoch 3" during fit, else "test"."""
    return f"{subset}, epoch {trainer.current_epoch}" if trainer.state.fn == TrainerFn.FITTING else subset
