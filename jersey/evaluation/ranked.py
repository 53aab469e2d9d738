"""Which crops of a scored split are worth a look: read right, surely wrong, unsure.

Shapes: N crops of the split, K classes, M <= N chosen rows of the evaluation.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from jersey.evaluation.metrics import Evaluation


class RankedPredictions:
    """What was read on each crop of a scored split, and how surely; ties keep the order of the split."""

    def __init__(self, evaluation: Evaluation, names: Sequence[str]) -> None:
        self.evaluation = evaluation
        self.names = names
        self.ranked_NK = evaluation.logits_NK.argsort(dim=1, descending=True, stable=True)
        self.confidence_N = evaluation.probabilities_NK.gather(1, self.ranked_NK[:, :1])[:, 0]
        self.is_right_N = self.ranked_NK[:, 0] == evaluation.labels_N

    def right(self) -> Tensor:
        """Rows that were read right, in the order of the split."""
        return self.is_right_N.nonzero()[:, 0]

    def confident_errors(self) -> Tensor:
        """Rows that were read wrong, the most confident first."""
        wrong_M = (~self.is_right_N).nonzero()[:, 0]
        return wrong_M[self.confidence_N[wrong_M].argsort(descending=True, stable=True)]

    def least_confident(self) -> Tensor:
        """All rows, the least confident first."""
        return self.confidence_N.argsort(stable=True)

    def caption(self, row: int) -> tuple[str, str]:
        """The confidence and the number that was read, and the true one."""
        read, label = int(self.ranked_NK[row, 0]), int(self.evaluation.labels_N[row])
        return f"{self.confidence_N[row]:.1%} for {self.names[read]}", f"true {self.names[label]}"

    def contrast_classes(self, row: int) -> Tensor:
        """The class that was read and the one to hold against it (the true one, or the runner-up), int64 [2]."""
        first_2 = self.ranked_NK[row, :2]
        return first_2 if self.is_right_N[row] else torch.stack([first_2[0], self.evaluation.labels_N[row]])


def evenly_spaced(rows_M: Tensor, most: int) -> Tensor:
    """At most so many of the rows, at equal distances, the first and the last included."""
    return rows_M[torch.linspace(0, len(rows_M) - 1, min(most, len(rows_M))).round().long()]
