"""Tables of an evaluated split, written after every validation (replacing the previous ones) and after the test.

Shapes: N crops of the split, K classes.
"""

import math
from pathlib import Path

import torch

from jersey.callbacks.base import AfterEvaluation, EvaluatedSplit, data_of
from jersey.evaluation.digit_errors import digit_confusions, error_type, errors_by_type, examples, total
from jersey.plots import matrices

PREDICTIONS = ("file", "bytes", "label", "predicted", "confidence", "label_probability", "label_rank")
"""The columns of `predictions_<subset>.csv`."""


class ConfusionMatrix(AfterEvaluation):
    """Writes `confusion_matrix_<subset>.png`, which is also added to Aim, and the counts of the test as a `.csv`."""

    def on_split_evaluated(self, split: EvaluatedSplit) -> None:
        counts_KK, names = split.evaluation.confusion_KK, split.names
        split.save_and_track(matrices.confusion_matrix(counts_KK.numpy(), names, title=split.title), "confusion_matrix")
        if split.subset == "test":
            rows = ([name, *counts_K] for name, counts_K in zip(names, counts_KK.tolist(), strict=True))
            split.write("confusion_matrix", ("label/predicted", *names), rows)


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
        split.write("digit_errors", ("type", "count", "fraction", "examples"), rows)
        split.save_and_track(matrices.digit_errors(errors, places, crops=int(crops), title=split.title), "digit_errors")
        evaluation, ranked, paths = split.evaluation, split.ranked, split.paths
        misclassified = []
        for row in ranked.confident_errors().tolist():
            label, predicted = names[evaluation.labels_N[row]], names[ranked.ranked_NK[row, 0]]
            confidence = f"{ranked.confidence_N[row]:.4f}"
            error = error_type(label, predicted)
            misclassified.append((paths[evaluation.indices_N[row]], label, predicted, confidence, error))
        split.write("errors", ("file", "label", "predicted", "confidence", "error"), misclassified)


class PredictionsTable(AfterEvaluation):
    """Writes `predictions_<subset>.csv`, one row per crop, so that runs can be compared on the same crops.

    The rows have the order of the split. They hold the file relative to the data root, its size (which reveals another
    image under the same name), the label, the prediction and its confidence, and the probability and rank of the label,
    1 for a correct prediction. `python -m jersey.compare` reads the table of the test.
    """

    def on_split_evaluated(self, split: EvaluatedSplit) -> None:
        evaluation, ranked, names = split.evaluation, split.ranked, split.names
        paths, root = split.paths, data_of(split.trainer).root
        labels_N1 = evaluation.labels_N[:, None]
        label_probability_N = evaluation.probabilities_NK.gather(1, labels_N1)[:, 0].tolist()
        rank_N = (1 + (ranked.ranked_NK == labels_N1).int().argmax(dim=1)).tolist()
        confidence_N, predicted_N = ranked.confidence_N.tolist(), ranked.ranked_NK[:, 0].tolist()
        rows = []
        for row in evaluation.indices_N.argsort().tolist():
            path = paths[evaluation.indices_N[row]]
            file, label = path.relative_to(root).as_posix(), names[evaluation.labels_N[row]]
            scores = (confidence_N[row], label_probability_N[row], rank_N[row])
            rows.append((file, _size(path), label, names[predicted_N[row]], *scores))
        split.write("predictions", PREDICTIONS, rows)


def _size(path: Path) -> int | str:
    """Returns the size in bytes, or "" if the file was removed after decoding, which should not stop a finished run."""
    try:
        return path.stat().st_size
    except OSError:
        return ""
