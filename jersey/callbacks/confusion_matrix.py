"""Draws the confusion matrix of every validation and of the test from the logits that the module has collected."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only

from jersey.atomic import replacing
from jersey.tables import write_csv
from jersey.tracking import find_tracker

if TYPE_CHECKING:
    from jersey.module import JerseyModule


class ConfusionMatrix(Callback):
    """Writes `confusion_matrix_val.png` (the latest), `confusion_matrix_test.png` and its counts as a `.csv`.

    They land in `trainer.default_root_dir`; each validation during fit and the test also go to Aim, as images.
    """

    @rank_zero_only
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            _draw(trainer, cast("JerseyModule", pl_module), split="val")

    @rank_zero_only
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module = cast("JerseyModule", pl_module)
        _draw(trainer, module, split="test")
        counts_KK = module.evaluations["test"].confusion_KK.tolist()
        rows = ([name, *counts_K] for name, counts_K in zip(module.labels.names, counts_KK, strict=True))
        path = Path(trainer.default_root_dir) / "confusion_matrix_test.csv"
        write_csv(path, ("true/read as", *module.labels.names), rows)


def _draw(trainer: Trainer, module: "JerseyModule", *, split: str) -> None:
    from jersey.plots import confusion_matrix  # imports matplotlib

    is_fitting = trainer.state.fn == TrainerFn.FITTING
    image = confusion_matrix(
        module.evaluations[split].confusion_KK.numpy(),
        module.labels.names,
        title=f"{split}, epoch {trainer.current_epoch}" if is_fitting else split,
    )
    with replacing(Path(trainer.default_root_dir) / f"confusion_matrix_{split}.png") as temporary:
        image.save(temporary, format="PNG")
    tracker = find_tracker(trainer)
    # A validation outside fit repeats an epoch that is already there.
    if tracker is not None and (is_fitting or split == "test"):
        # In fit Lightning logs an epoch's metrics at the step before the one that it counts by then.
        step = max(trainer.global_step - 1, 0) if is_fitting else trainer.global_step
        tracker.log_image("confusion_matrix", image, step=step, epoch=trainer.current_epoch, subset=split)
