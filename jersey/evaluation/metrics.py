"""Metrics of one split, computed once from its logits; training, validation and test use the same definitions.

Classes without crops in the split are excluded from the averages (`classes_present` counts the others), instead of
counting as 0. A crop predicted as one of them is an ordinary error, which lowers the recall and F1 of its label. The
tests compare with scikit-learn.

Illegible crops have no label, and are excluded from every metric but `auroc_legible`.

Probabilities and confidences are those of the exported file: a temperature divides the logits before the softmax. Only
the `loss` is of the logits themselves, so that it can be compared with the training loss and between epochs.

Shapes: N crops with a label, U illegible ones, K classes, J <= K classes present; P crops are positive for a class and
M = N - P negative. Metrics of each class are float64 [K], and nan where they are 0/0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from jersey.core.distributed import all_gather_interleaved, rank_slice
from jersey.core.labels import ILLEGIBLE_INDEX
from jersey.core.tables import percent
from jersey.data.loader import PADDING, Batch
from jersey.evaluation.calibration import Predictions, expected_calibration_error


@dataclass(frozen=True)
class Evaluation:
    """The logits of a network on the crops of a split, on the CPU; U may be 0.

    Attributes:
        logits_NK: logits of the legible crops, float32.
        labels_N: class indices of their labels, int64.
        indices_N: their rows in the split, int64.
        illegible_logits_UK: logits of the illegible crops, float32.
        illegible_indices_U: their rows in the split, int64.
        temperature: divisor of the logits in probabilities, fitted on the validation split.
    """

    logits_NK: Tensor
    labels_N: Tensor
    indices_N: Tensor
    illegible_logits_UK: Tensor = field(default_factory=lambda: torch.empty(0))
    illegible_indices_U: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    temperature: float = 1.0

    @cached_property
    def confusion_KK(self) -> Tensor:
        """Confusion matrix, int64 [K,K]: rows are labels, columns predictions."""
        return multiclass_confusion_matrix(self.logits_NK, self.labels_N, num_classes=self.logits_NK.shape[1])

    @cached_property
    def support_K(self) -> Tensor:
        """Number of crops of each class, int64 [K]."""
        return self.confusion_KK.sum(dim=1)

    @cached_property
    def present_J(self) -> Tensor:
        """Indices of the classes that have crops in the split, int64 [J]."""
        return self.support_K.nonzero()[:, 0]

    @cached_property
    def recall_K(self) -> Tensor:
        """Fraction of each class's crops that are predicted correctly."""
        return self.confusion_KK.diagonal().double() / self.support_K

    @cached_property
    def precision_K(self) -> Tensor:
        """Fraction of the crops predicted as each class whose label it is."""
        return self.confusion_KK.diagonal().double() / self.confusion_KK.sum(dim=0)

    @cached_property
    def f1_K(self) -> Tensor:
        """Harmonic mean of recall and precision."""
        return 2 * self.confusion_KK.diagonal().double() / (self.confusion_KK.sum(dim=0) + self.support_K)

    @cached_property
    def probabilities_NK(self) -> Tensor:
        """Softmax, float64 [N,K]; in float32 a confident network would have many probabilities of exactly 1."""
        return _softmax(self.logits_NK, self.temperature)

    @cached_property
    def uncalibrated_confidence_N(self) -> Tensor:
        """Probability of each crop's predicted class at a temperature of 1, float64 [N]."""
        return _softmax(self.logits_NK, 1.0).amax(dim=1)

    @cached_property
    def loss_N(self) -> Tensor:
        """Negative log likelihood of each label at a temperature of 1, float32 [N]."""
        return F.cross_entropy(self.logits_NK, self.labels_N, reduction="none")

    @cached_property
    def auroc_K(self) -> Tensor:
        """One-vs-rest AUROC; nan also where all crops have the class."""
        return torch.stack([_auroc(p_N, self.labels_N == k) for k, p_N in enumerate(self.probabilities_NK.T)])

    @property
    def predictions(self) -> Predictions:
        """The predictions at a temperature of 1 on the legible crops, followed by those on the illegible ones."""
        labels_N = np.append(self.labels_N.numpy(), np.full(self.illegible, ILLEGIBLE_INDEX))
        logits_NK = self.logits_NK if not self.illegible else torch.cat([self.logits_NK, self.illegible_logits_UK])
        return Predictions(logits_NK.numpy(), labels_N)

    @property
    def illegible(self) -> int:
        """Number of illegible crops, U."""
        return len(self.illegible_indices_U)

    @cached_property
    def illegible_confidence_U(self) -> Tensor:
        """Probability of the predicted class on each illegible crop, float64 [U]."""
        return _softmax(self.illegible_logits_UK, self.temperature).amax(dim=1)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """All metrics by name; `loss` is the mean of `loss_N`, and all others are of the calibrated probabilities.

        `auroc_legible`, the probability that a legible crop has a higher confidence than an illegible one, is only
        included if the split has illegible crops.
        """
        confidence_N, predicted_N = self.probabilities_NK.max(dim=1)
        # The sort is stable, so the first of equal logits wins, as in argmax and the confusion matrix, unlike in topk.
        top_N5 = self.logits_NK.argsort(dim=1, descending=True, stable=True)[:, :5]
        correct_N5 = top_N5 == self.labels_N[:, None]
        scores: dict[str, Tensor | float] = {
            "loss": self.loss_N.mean(),
            "acc_top1": correct_N5[:, 0].double().mean(),
            "acc_top5": correct_N5.any(dim=1).double().mean(),
            "recall_macro": self.recall_K[self.present_J].mean(),
            "f1_macro": self.f1_K[self.present_J].mean(),
            "auroc_macro": self.auroc_K[self.present_J].mean(),
            "ece": expected_calibration_error(confidence_N.numpy(), (predicted_N == self.labels_N).numpy()),
            "classes_present": len(self.present_J),
        }
        if self.illegible:
            confidence = torch.cat([confidence_N, self.illegible_confidence_U])
            scores["auroc_legible"] = _auroc(confidence, torch.arange(len(confidence)) < len(self.labels_N))
        return {name: float(value) for name, value in scores.items()}


def metric_text(name: str, value: float) -> str:
    """Formats a metric of this name, such as "loss" or "val/acc_top1": a loss as a number, all others in percent."""
    return f"{value:.4f}" if name.rpartition("/")[2] == "loss" else percent(value)


def _softmax(logits_NK: Tensor, temperature: float) -> Tensor:
    return (logits_NK.double() / temperature).softmax(dim=1)


def _auroc(scores_N: Tensor, is_positive_N: Tensor) -> Tensor:
    """Returns the fraction of pairs in which the positive crop scores higher than the negative; ties count half.

    This is the area under the ROC curve: Hanley and McNeil 1982, https://doi.org/10.1148/radiology.143.1.7063747.
    """
    if scores_N.isnan().any():  # the network has diverged
        return scores_N.new_tensor(torch.nan)
    positives_P, negatives_M = scores_N[is_positive_N], scores_N[~is_positive_N].sort().values
    below_P = torch.searchsorted(negatives_M, positives_P)
    not_above_P = torch.searchsorted(negatives_M, positives_P, right=True)
    return (below_P + not_above_P).double().mean() / (2 * len(negatives_M))


class Collector:
    """Collects the logits of an epoch on their device, without synchronizing before the end."""

    NAMES = ("logits_NK", "labels_N", "indices_N")

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, ...]] = []

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, logits_BK: Tensor, batch: Batch) -> None:
        """Stores a copy of the logits of a batch, float [B,K], with its labels and indices."""
        copied_BK = logits_BK.detach().to(torch.float32, copy=True)  # a CUDA graph overwrites its output buffers
        self._parts.append((copied_BK, batch["labels"], batch["indices"]))

    def state_dict(self) -> dict[str, Tensor]:
        """Returns what all processes have collected since the last evaluation; there must be at least one batch."""
        return dict(zip(self.NAMES, self._gathered(), strict=True))

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Restores the state; each process takes its own slice."""
        self._parts = [tuple(rank_slice(state_dict[name]) for name in self.NAMES)]

    def evaluation(self) -> Evaluation:
        """Returns everything that all processes have collected since the last call, on the CPU, and clears it."""
        logits_NK, labels_N, indices_N = (part.cpu() for part in self._gathered())
        self._parts.clear()
        is_crop_N = indices_N != PADDING
        is_legible_N = is_crop_N & (labels_N != ILLEGIBLE_INDEX)
        is_illegible_N = is_crop_N & (labels_N == ILLEGIBLE_INDEX)
        return Evaluation(
            logits_NK[is_legible_N],
            labels_N[is_legible_N],
            indices_N[is_legible_N],
            illegible_logits_UK=logits_NK[is_illegible_N],
            illegible_indices_U=indices_N[is_illegible_N],
        )

    def _gathered(self) -> tuple[Tensor, ...]:
        device = self._parts[-1][0].device  # tensors of a checkpoint are on the CPU
        return tuple(
            all_gather_interleaved(torch.cat([each.to(device) for each in part]))
            for part in zip(*self._parts, strict=True)
        )
