"""Scores of one split, computed once from its logits; training, validation and test share every definition.

Classes without a crop in the split are left out of the averages (`classes_present` says how many were there),
instead of counting as 0. The reference in the tests is scikit-learn.

Shapes: N crops, K classes, J <= K classes present.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_auroc,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

from jersey.data.datamodule import Batch

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Evaluation:
    """What a network said about the crops of a split.

    Args:
        logits_NK: float32, on the CPU.
        labels_N: int64, on the CPU.
        indices_N: int64, rows in the split.
    """

    logits_NK: Tensor
    labels_N: Tensor
    indices_N: Tensor

    @cached_property
    def confusion_KK(self) -> Tensor:
        """Counts, int64 [K,K]: rows the true class, columns the predicted one."""
        return multiclass_confusion_matrix(self.logits_NK, self.labels_N, num_classes=self.logits_NK.shape[1])

    @cached_property
    def present_J(self) -> Tensor:
        """Indices of the classes that have crops here."""
        return self.confusion_KK.sum(dim=1).nonzero()[:, 0]

    @cached_property
    def recall_K(self) -> Tensor:
        """Share of each class's crops that were read right, float64 [K]; 0/0 is nan."""
        return self.confusion_KK.diagonal().double() / self.confusion_KK.sum(dim=1)

    @cached_property
    def f1_K(self) -> Tensor:
        """F1 of each class, float64 [K]; 0/0 is nan."""
        totals_K = self.confusion_KK.sum(dim=0) + self.confusion_KK.sum(dim=1)
        return 2 * self.confusion_KK.diagonal().double() / totals_K

    def auroc(self) -> Tensor:
        """One-against-rest AUROC of each class present, float [J]; empty when only one class is there."""
        probabilities_NK = self.logits_NK.softmax(dim=1)
        if len(self.present_J) < 2:
            return torch.zeros(0)
        return torch.stack(
            [binary_auroc(probabilities_NK[:, k], (self.labels_N == k).long()) for k in self.present_J.tolist()]
        )

    @cached_property
    def metrics(self) -> dict[str, float]:
        """All scores by name; `loss` is the plain negative log likelihood, comparable between recipes."""
        top_NJ = self.logits_NK.topk(min(5, self.logits_NK.shape[1]), dim=1).indices
        right_NJ = top_NJ == self.labels_N[:, None]
        scores = {
            "loss": F.cross_entropy(self.logits_NK, self.labels_N),
            "acc_top1": right_NJ[:, 0].double().mean(),
            "acc_top5": right_NJ.any(dim=1).double().mean(),
            "recall_macro": self.recall_K[self.present_J].mean(),
            "f1_macro": self.f1_K[self.present_J].mean(),
            "auroc_macro": self.auroc().mean(),
            "ece": multiclass_calibration_error(
                self.logits_NK.softmax(dim=1),
                self.labels_N,
                num_classes=self.logits_NK.shape[1],
                n_bins=CALIBRATION_BINS,
            ),
            "classes_present": torch.tensor(float(len(self.present_J))),
        }
        return {name: value.item() for name, value in scores.items()}


class Collector:
    """Gathers the logits of an epoch on their device; nothing waits for the device before the end."""

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, logits_BK: Tensor, batch: Batch) -> None:
        """Keeps a batch."""
        self._parts.append((logits_BK.detach().float(), batch["labels"], batch["indices"]))

    def evaluation(self) -> Evaluation:
        """Everything since the last call, moved to the CPU."""
        logits_NK, labels_N, indices_N = (torch.cat(part).cpu() for part in zip(*self._parts, strict=True))
        self._parts.clear()
        return Evaluation(logits_NK, labels_N, indices_N)
