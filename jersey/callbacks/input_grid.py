"""What the network really sees: crops of a train batch as stored, and as augmented and mixed, as one picture.

Shapes: B crops, H W size.
"""

from typing import TYPE_CHECKING, Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from jersey.callbacks.picture import publish
from jersey.core.labels import ILLEGIBLE_INDEX, ILLEGIBLE_NAME
from jersey.data.loader import Batch

if TYPE_CHECKING:
    from jersey.training.module import JerseyModule


class SampleGrid(Callback):
    """Writes `samples_train.png` (the latest) from the first batch of an epoch, and adds it to Aim as `samples`.

    Augmentation and mixing run once more and, their randomness being counted, give the pixels that are trained on;
    nothing that is random later is touched. Below a mixed crop stands the number of the stored one alone.

    Args:
        crops: how many of the batch to show, at most.
        every_epochs: draw epochs 0, n, 2n and so on; None draws the first epoch only.
    """

    def __init__(self, *, crops: int = 24, every_epochs: int | None = None) -> None:
        self.crops = crops
        self.every_epochs = every_epochs

    @rank_zero_only
    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        epoch = trainer.current_epoch
        if batch_idx == 0 and (epoch == 0 or (self.every_epochs and epoch % self.every_epochs == 0)):
            self._draw(trainer, cast("JerseyModule", pl_module), batch)

    def _draw(self, trainer: Trainer, module: "JerseyModule", batch: Batch) -> None:
        from jersey.plots.image_grid import Section, Tile, image_grid

        names_by_index = {**dict(enumerate(module.labels.names)), ILLEGIBLE_INDEX: ILLEGIBLE_NAME}
        names = [names_by_index[label] for label in batch["labels"][: self.crops].tolist()]
        is_changed = module.augment is not None or module.mix is not None
        # The whole batch is changed: a part of it would draw other random numbers.
        stages = [batch["images"], module.training_input(batch, 0)[0]] if is_changed else [batch["images"]]
        views = [_pictures(stage_BCHW[: self.crops]) for stage_BCHW in stages]
        tiles = [Tile(images, (name,)) for *images, name in zip(*views, names, strict=True)]
        what = "as stored, and as the network gets them" if is_changed else "unchanged"
        section = Section(f"crops of the first batch, {what}", tiles, out_of=len(batch["labels"]))
        image = image_grid(f"train, epoch {trainer.current_epoch}", [section], columns=12 // len(views))
        publish(trainer, image, "samples", subset="train")


def _pictures(images_BCHW: Tensor) -> list[Any]:
    return list(images_BCHW.round().byte().permute(0, 2, 3, 1).cpu().numpy())
