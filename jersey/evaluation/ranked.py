"""Selects crops of an evaluated split to look at: correct ones, confident errors, and low confidences.

Shapes: N crops of the split, K classes, M <= N selected rows of the evaluation.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from jersey.core.tables import percent
from jersey.evaluation.metrics import Evaluation


class RankedPredictions:
    """The predictions on a split, ranked by confidence; ties keep the order of the split.

    Args:
        evaluation: evaluation of the split.
        names: names of the K classes.
    """

    def __init__(self, evaluation: Evaluation, names: Sequence[str]) -> None:
        self.evaluation = evaluation
        self.names = names
        self.ranked_NK = evaluation.logits_NK.argsort(dim=1, descending=True, stable=True)
        self.confidence_N = evaluation.probabilities_NK.gather(1, self.ranked_NK[:, :1])[:, 0]
        self.is_correct_N = self.ranked_NK[:, 0] == evaluation.labels_N

    def correct(self) -> Tensor:
        """Returns the rows of correct predictions, int64 [M], in the order of the split."""
        return self.is_correct_N.nonzero()[:, 0]

    def confident_errors(self) -> Tensor:
        """Returns the rows of incorrect predictions, int64 [M], the most confident first."""
        errors_M = (~self.is_correct_N).nonzero()[:, 0]
        return errors_M[self.confidence_N[errors_M].argsort(descending=True, stable=True)]

    def least_confident(self) -> Tensor:
        """Returns all rows, int64 [N], the least confident first."""
        return self.confidence_N.argsort(stable=True)

    def caption(self, row: int) -> tuple[str, str]:
        """Returns two lines: the confidence with the prediction, and the label."""
        predicted, label = int(self.ranked_NK[row, 0]), int(self.evaluation.labels_N[row])
        return f"{percent(float(self.confidence_N[row]))} for {self.names[predicted]}", f"label {self.names[label]}"

    def contrast_classes(self, row: int) -> Tensor:
        """Returns the predicted class and the class to contrast it with: the label or else the runner-up, int64 [2]."""
        first_2 = self.ranked_NK[row, :2]
        return first_2 if self.is_correct_N[row] else torch.stack([first_2[0], self.evaluation.labels_N[row]])


def evenly_spaced(rows_M: Tensor, max_rows: int) -> Tensor:
    """Returns at most `max_rows` of the rows at equal distances, the first and the last included."""
    return rows_M[torch.linspace(0, len(rows_M) - 1, min(max_rows, len(rows_M))).round().long()]
