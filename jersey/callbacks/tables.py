"""Tables of an evaluated split, written after every validation (replacing the previous ones) and after the test.

Shapes: N crops of the split, K classes.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from jersey.callbacks.base import AfterEvaluation, EvaluatedSplit
from jersey.core.labels import ILLEGIBLE_NAME
from jersey.evaluation.digit_errors import digit_confusions, error_type, errors_by_type, examples, total
from jersey.plots import matrices

PREDICTIONS = (
    *("file", "size_bytes", "label", "predicted", "confidence", "label_probability", "label_rank"),
    *("uncalibrated_confidence", "loss"),
)
"""The columns of `predictions_<subset>.csv`."""


class ConfusionMatrix(AfterEvaluation):
    """Writes `confusion_matrix_<subset>.png`, which is also added to Aim, and the counts of the test as a `.csv`."""

    def on_split_evaluated(self, split: EvaluatedSplit) -> None:
        counts_KK, names = split.evaluation.confusion_KK, split.names
        split.save_and_track(matrices.confusion_matrix(counts_KK.numpy(), names, title=split.title), "confusion_matrix")
        if split.subset == "test":
            rows = ([name, *counts_K] for name, counts_K in zip(names, counts_KK.tolist(), strict=True))
            split.write("confusion_matrix", ("label", *names), rows)


class PerClassTable(AfterEvaluation):
    """Writes `per_class_<subset>.csv` with support, recall, precision, F1 and AUROC, one row per label.

    Undefined values are empty: recall and AUROC of a label without crops, and precision of one that is never predicted.
    """

    def on_split_evaluated(self, split: EvaluatedSplit) -> None:
        evaluation = split.evaluation
        columns = [evaluation.recall_K, evaluation.precision_K, evaluation.f1_K, evaluation.auroc_K]
        rows = [
            (name, support, *("" if math.isnan(score) else score for score in scores))
            for name, support, scores in zip(
                split.names, evaluation.support_K.tolist(), torch.stack(columns, dim=1).tolist(), strict=True
            )
        ]
        split.write("per_class", ("label", "support", "recall", "precision", "f1", "auroc"), rows)


class DigitErrors(AfterEvaluation):
    """Writes two tables and an image of the errors.

    `digit_errors_<subset>.csv` has one row per error type (see `jersey.evaluation.digit_errors`): its crops, their
    fraction of the split, and examples. `errors_<subset>.csv` has one row per misclassified crop, the most confident
    first. `digit_errors_<subset>.png` shows the error types and the confused digits; it is also added to Aim.
    """

    def on_split_evaluated(self, split: EvaluatedSplit) -> None:
        names, counts_KK = split.names, split.evaluation.confusion_KK.numpy()
        errors, places, crops = errors_by_type(counts_KK, names), digit_confusions(counts_KK, names), counts_KK.sum()
        rows = [(kind, total(found), total(found) / crops, examples(found)) for kind, found in errors.items()]
        split.write("digit_errors", ("error_type", "crops", "fraction", "examples"), rows)
        split.save_and_track(matrices.digit_errors(errors, places, crops=int(crops), title=split.title), "digit_errors")
        evaluation, ranked = split.evaluation, split.ranked
        misclassified = []
        for row in ranked.confident_errors().tolist():
            label, predicted = names[evaluation.labels_N[row]], names[ranked.ranked_NK[row, 0]]
            confidence = f"{ranked.confidence_N[row]:.4f}"
            error = error_type(label, predicted)
            misclassified.append((split.file(int(evaluation.indices_N[row])), label, predicted, confidence, error))
        split.write("errors", ("file", "label", "predicted", "confidence", "error_type"), misclassified)


class PredictionsTable(AfterEvaluation):
    """Writes `predictions_<subset>.csv`, one row per crop, so that runs can be compared on the same crops.

    The rows have the order of the split. They hold the file relative to the data root, its size (which reveals another
    image under the same name), the label, the prediction and its calibrated confidence, the calibrated probability and
    the rank of the label (1 for a correct prediction), and without calibration the confidence and the loss. The columns
    about the label are empty for illegible crops. `python -m jersey.compare` reads the table of the test.
    """

    def on_split_evaluated(self, split: EvaluatedSplit) -> None:
        rows = [*self._legible(split), *self._illegible(split)]
        split.write("predictions", PREDICTIONS, [cells for _, cells in sorted(rows, key=lambda row: row[0])])

    def _legible(self, split: EvaluatedSplit) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Yields the row of each legible crop in the split, and its cells."""
        evaluation, ranked = split.evaluation, split.ranked
        labels_N1 = evaluation.labels_N[:, None]
        columns = zip(
            evaluation.indices_N.tolist(),
            (split.names[k] for k in evaluation.labels_N.tolist()),
            (split.names[k] for k in ranked.ranked_NK[:, 0].tolist()),
            ranked.confidence_N.tolist(),
            evaluation.probabilities_NK.gather(1, labels_N1)[:, 0].tolist(),
            (1 + (ranked.ranked_NK == labels_N1).int().argmax(dim=1)).tolist(),
            evaluation.uncalibrated_confidence_N.tolist(),
            evaluation.loss_N.tolist(),
            strict=True,
        )
        for row, *cells in columns:
            yield row, (split.file(row), _size_bytes(split.paths[row]), *cells)

    def _illegible(self, split: EvaluatedSplit) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Yields the same for the illegible crops."""
        evaluation = split.evaluation
        if not evaluation.illegible:
            return
        uncalibrated_U = replace(evaluation, temperature=1.0).illegible_confidence_U
        columns = zip(
            evaluation.illegible_indices_U.tolist(),
            (split.names[k] for k in evaluation.illegible_logits_UK.argmax(dim=1).tolist()),
            evaluation.illegible_confidence_U.tolist(),
            uncalibrated_U.tolist(),
            strict=True,
        )
        for row, predicted, confidence, uncalibrated in columns:
            file, size_bytes = split.file(row), _size_bytes(split.paths[row])
            yield row, (file, size_bytes, ILLEGIBLE_NAME, predicted, confidence, "", "", uncalibrated, "")


def _size_bytes(path: Path) -> int | str:
    """Returns the size, or "" if the file was removed after decoding, which should not stop a finished run."""
    try:
        return path.stat().st_size
    except OSError:
        return ""
