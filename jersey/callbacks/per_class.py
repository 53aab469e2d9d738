"""A table of the scores of each number, after every validation and after the test."""

from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch import Trainer

from jersey.callbacks.after_evaluation import AfterEvaluation, Subset
from jersey.tables import write_csv

if TYPE_CHECKING:
    from jersey.module import JerseyModule


class PerClassTable(AfterEvaluation):
    """Writes `per_class_val.csv` (the latest) and `per_class_test.csv` into `trainer.default_root_dir`.

    A row a number: crops in the split, recall and F1. Recall of a number without crops is empty.
    """

    def evaluated(self, trainer: Trainer, module: "JerseyModule", subset: Subset) -> None:
        evaluation = module.evaluations[subset]
        crops_K = evaluation.confusion_KK.sum(dim=1).tolist()
        recall_K = [
            recall if crops else "" for crops, recall in zip(crops_K, evaluation.recall_K.tolist(), strict=True)
        ]
        rows = zip(module.labels.names, crops_K, recall_K, evaluation.f1_K.nan_to_num(0).tolist(), strict=True)
        path = Path(trainer.default_root_dir) / f"per_class_{subset}.csv"
        write_csv(path, ("number", "crops", "recall", "f1"), rows)
