"""Draws the confusion matrix of every validation and of the test from the logits that the module has collected."""

from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch import Trainer

from jersey.callbacks.after_evaluation import AfterEvaluation, Subset
from jersey.callbacks.picture import moment, publish
from jersey.core.tables import write_csv

if TYPE_CHECKING:
    from jersey.training.module import JerseyModule


class ConfusionMatrix(AfterEvaluation):
    """Writes `confusion_matrix_val.png` (the latest), `confusion_matrix_test.png` and its counts as a `.csv`.

    They land in `trainer.default_root_dir`; each validation during fit and the test also go to Aim, as images.
    """

    def evaluated(self, trainer: Trainer, module: "JerseyModule", subset: Subset) -> None:
        from jersey.plots.matrices import confusion_matrix  # imports matplotlib

        counts_KK = module.evaluations[subset].confusion_KK
        names = module.labels.names
        image = confusion_matrix(counts_KK.numpy(), names, title=moment(trainer, subset))
        publish(trainer, image, "confusion_matrix", subset=subset)
        if subset == "test":
            rows = ([name, *counts_K] for name, counts_K in zip(names, counts_KK.tolist(), strict=True))
            path = Path(trainer.default_root_dir) / "confusion_matrix_test.csv"
            write_csv(path, ("true/read as", *names), rows)
