"""Tables of a scored split, after every validation (the latest is kept) and after the test.

Shapes: N crops of the split, K classes.
"""

import math
from pathlib import Path

import torch

from jersey.callbacks.base import AfterEvaluation, EvaluatedSplit, data_of
from jersey.evaluation.digit_errors import digit_confusions, error_type, errors_by_type, examples, total
from jersey.plots import matrices

PREDICTIONS = ("file", "bytes", "label", "predicted", "confidence", "label_probability", "label_rank")


class ConfusionMatrix(AfterEvaluation):
    """Writes `confusion_matrix_<subset>.png`, also to Aim, and the test's counts as a `.csv`."""

    def on_split_evaluated(self, scored: EvaluatedSplit) -> None:
        counts_KK, names = scored.evaluation.confusion_KK, scored.names
        scored.save_and_track(
            matrices.confusion_matrix(counts_KK.numpy(), names, title=scored.title), "confusion_matrix"
        )
        if scored.subset == "test":
            rows = ([name, *counts_K] for name, counts_K in zip(names, counts_KK.tolist(), strict=True))
            scored.write("confusion_matrix", ("true/read as", *names), rows)


class PerClassTable(AfterEvaluation):
    """Writes `per_class_<subset>.csv`.

    A row a number: crops in the split ("support"), recall, precision, F1, AUROC. What is not defined is empty: recall
    and AUROC of a number without crops, precision of one that was never read.
    """

    def on_split_evaluated(self, scored: EvaluatedSplit) -> None:
        by_class = scored.evaluation
        columns = [by_class.recall_K, by_class.precision_K, by_class.f1_K, by_class.auroc_K]
        rows = [
            (name, support, *("" if math.isnan(score) else score for score in scores))
            for name, support, scores in zip(
                scored.names, by_class.support_K.tolist(), torch.stack(columns, dim=1).tolist(), strict=True
            )
        ]
        scored.write("per_class", ("number", "support", "recall", "precision", "f1", "auroc"), rows)


class DigitErrors(AfterEvaluation):
    """Writes two tables and a picture.

    `digit_errors_<subset>.csv` has a row a type of error (see `jersey.evaluation.digit_errors`): crops, their share of
    the split, examples. `errors_<subset>.csv` has a row a misread crop, the most confident first.
    `digit_errors_<subset>.png` shows the types, and which digit was read as which; it also goes to Aim.
    """

    def on_split_evaluated(self, scored: EvaluatedSplit) -> None:
        names, counts_KK = scored.names, scored.evaluation.confusion_KK.numpy()
        errors, places, crops = errors_by_type(counts_KK, names), digit_confusions(counts_KK, names), counts_KK.sum()
        rows = [(kind, total(of_kind), total(of_kind) / crops, examples(of_kind)) for kind, of_kind in errors.items()]
        scored.write("digit_errors", ("type", "count", "fraction", "examples"), rows)
        scored.save_and_track(
            matrices.digit_errors(errors, places, crops=int(crops), title=scored.title), "digit_errors"
        )
        evaluation, ranked, paths, misread = scored.evaluation, scored.ranked, scored.paths, []
        for row in ranked.confident_errors().tolist():
            true, read = names[evaluation.labels_N[row]], names[ranked.ranked_NK[row, 0]]
            confidence = f"{ranked.confidence_N[row]:.4f}"
            misread.append((paths[evaluation.indices_N[row]], true, read, confidence, error_type(true, read)))
        scored.write("errors", ("file", "label", "predicted", "confidence", "error"), misread)


class PredictionsTable(AfterEvaluation):
    """Writes `predictions_<subset>.csv`: what was read crop by crop, so that runs can be compared on the same crops.

    A row a crop, in the order of the split: its file below the data's root, the size of the file (which gives away
    another image under the same name), the label, what was read, its probability, the probability of the true
    number and the rank of that, 1 where it was read right. `python -m jersey.compare` reads the table of the test.
    """

    def on_split_evaluated(self, scored: EvaluatedSplit) -> None:
        evaluation, ranked, names = scored.evaluation, scored.ranked, scored.names
        paths, root = scored.paths, data_of(scored.trainer).root
        truth_N1 = evaluation.labels_N[:, None]
        true_probability_N = evaluation.probabilities_NK.gather(1, truth_N1)[:, 0].tolist()
        rank_N = (1 + (ranked.ranked_NK == truth_N1).int().argmax(dim=1)).tolist()
        confidence_N, read_N = ranked.confidence_N.tolist(), ranked.ranked_NK[:, 0].tolist()
        rows = []
        for row in evaluation.indices_N.argsort().tolist():
            path = paths[evaluation.indices_N[row]]
            file, true = path.relative_to(root).as_posix(), names[evaluation.labels_N[row]]
            scores = (confidence_N[row], true_probability_N[row], rank_N[row])
            rows.append((file, _size(path), true, names[read_N[row]], *scores))
        scored.write("predictions", PREDICTIONS, rows)


def _size(path: Path) -> int | str:
    """In bytes; empty for a file that has gone since it was decoded, which should not stop a run at its end."""
    try:
        return path.stat().st_size
    except OSError:
        return ""
