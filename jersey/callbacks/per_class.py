"""A table of the scores of each number, after every validation and after the test."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from lightning.pytorch import Trainer

from jersey.callbacks.after_evaluation import AfterEvaluation, Subset
from jersey.core.tables import write_csv

if TYPE_CHECKING:
    from jersey.training.module import JerseyModule


class PerClassTable(AfterEvaluation):
    """Writes `per_class_val.csv` (the latest) and `per_class_test.csv` into `trainer.default_root_dir`.

    A row a number: crops in the split ("support"), recall, precision, F1, AUROC. What is not defined is empty: recall
    and AUROC of a number without crops, precision of one that was never read.
    """

    def evaluated(self, trainer: Trainer, module: "JerseyModule", subset: Subset) -> None:
        scored = module.evaluations[subset]
        scores_K4 = torch.stack([scored.recall_K, scored.precision_K, scored.f1_K, scored.auroc_K], dim=1).tolist()
        rows = [
            (name, support, *("" if math.isnan(score) else score for score in scores))
            for name, support, scores in zip(module.labels.names, scored.support_K.tolist(), scores_K4, strict=True)
        ]
        path = Path(trainer.default_root_dir) / f"per_class_{subset}.csv"
        write_csv(path, ("number", "support", "recall", "precision", "f1", "auroc"), rows)
