"""Pools the validation predictions of cross-validated runs: `python -m jersey.compare.folds RUN RUN... --out=FOLDER`.

Each run validated on another fold of the same crops, as `launch.py --folds=5` or `jersey.data.prepare --folds=5` make
them, so each crop was predicted by a network that has not seen it. `FOLDER` gets `out_of_fold.csv`, with these
predictions, `labels.html`, a page of labels that they contradict, and `model.onnx`, the average of the networks, if it
is better on the test split (`jersey.compare.average`). A label is suspicious if another number has at least the mean
probability of the crops with that number, as in confident learning (Northcutt et al., 2021,
https://arxiv.org/abs/1911.00068).
"""

import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from jersey.compare.average import export_average
from jersey.compare.runs import config_value, finished_config, legible_rows, runs_parser
from jersey.core.atomic import create_folder, require_folder, write_text
from jersey.core.command_line import path_argument
from jersey.core.console import escape_missing_characters
from jersey.core.errors import UserError, escape_control, exit_on_user_error, plural
from jersey.core.tables import format_table, mean_and_spread, percent, write_csv
from jersey.data.audit.findings import AuditFinding, AuditRow
from jersey.data.audit.page import review_page
from jersey.evaluation.calibration import wilson_interval

PREDICTIONS, POOLED = "predictions_val.csv", "out_of_fold.csv"
EPS = 1e-6  # min probability, about the precision of float32
HEADER = ("file", "label", "predicted", "confidence", "label_probability", "run")


@dataclass(frozen=True)
class OutOfFold:
    """The prediction of a crop by the run that did not train on it.

    Attributes:
        path: real path of the image.
        label: label of the crop.
        predicted: predicted label.
        confidence: its calibrated probability.
        label_probability: calibrated probability of the label.
        run: name of the run.
    """

    path: str
    label: str
    predicted: str
    confidence: float
    label_probability: float
    run: str

    @property
    def is_correct(self) -> bool:
        return self.predicted == self.label


def read_predictions(folder: Path) -> list[OutOfFold]:
    """Reads the validation predictions of a run for its legible crops.

    Raises:
        UserError: the folder is not that of a finished run with validation predictions.
    """
    root = Path(config_value(finished_config(folder), "data.root") or "")
    return legible_rows(
        folder / PREDICTIONS,
        lambda row: OutOfFold(
            os.path.realpath(root / row["file"]),
            row["label"],
            row["predicted"],
            float(row["confidence"]),
            float(row["label_probability"]),
            folder.name,
        ),
    )


def pooled(runs: Mapping[Path, Sequence[OutOfFold]]) -> list[OutOfFold]:
    """Returns all predictions, sorted by path; raises UserError if two runs validated on the same crop."""
    run_of: dict[str, Path] = {}
    for folder, found in runs.items():
        for each in found:
            if (other := run_of.setdefault(each.path, folder)) != folder:
                raise UserError(
                    f"{other} and {folder} both validated on {each.path}, so they are not folds of one data set; "
                    "make folds with `python -m jersey.data.prepare SOURCE OUT --folds=5`"
                )
    return sorted((each for found in runs.values() for each in found), key=lambda each: each.path)


def suspicious(predictions: Sequence[OutOfFold]) -> list[tuple[float, OutOfFold]]:
    """Returns the crops whose label is contradicted, the most suspicious first, with log10 of the ratio of the two.

    A number is likely if its probability is at least the mean probability of the label among the crops with this label.
    """
    of_label: dict[str, list[float]] = defaultdict(list)
    for each in predictions:
        of_label[each.label].append(each.label_probability)
    likely_from = {label: mean(values) for label, values in of_label.items()}
    found = [
        (math.log10(max(each.confidence, EPS) / max(each.label_probability, EPS)), each)
        for each in predictions
        if not each.is_correct and each.confidence >= likely_from.get(each.predicted, 0.0)
    ]
    return sorted(found, key=lambda scored: (-scored[0], scored[1].path))


def report(folders: Sequence[Path], out: Path) -> str:
    """Writes the files into `out`, and returns the table of the folds and what follows from it.

    Args:
        folders: folders of finished runs, one for each fold.
        out: folder, which is created if it is missing.

    Raises:
        UserError: a run cannot be read, two validated on the same crop, or the folder cannot be created.
    """
    runs = {folder: read_predictions(folder) for folder in folders}
    predictions = pooled(runs)
    if not predictions:
        raise UserError(f"the runs {', '.join(map(str, folders))} have no validation predictions; run them again")
    labels = suspicious(predictions)
    create_folder(out, remedy="choose another --out")
    root = Path(os.path.commonpath([os.path.dirname(each.path) for each in predictions]))  # noqa: PTH120
    names = {each.path: os.path.relpath(each.path, root) for each in predictions}
    write_csv(out / POOLED, HEADER, [(names[each.path], *_cells(each)) for each in predictions])
    findings = [
        AuditFinding(
            "label_contradicted",
            f"{escape_control(names[each.path])} ({each.label}): {each.predicted}",
            (AuditRow("train", each.label, names[each.path]),),
            round(score, 4),
            ((each.predicted, each.confidence),),
        )
        for score, each in labels
    ]
    rows = [AuditRow("train", each.label, names[each.path]) for each in predictions]
    write_text(out / "labels.html", review_page(root, rows, findings))
    accuracies = {folder.name: mean(each.is_correct for each in found) for folder, found in runs.items() if found}
    correct, total = sum(each.is_correct for each in predictions), len(predictions)
    low, high = wilson_interval(correct, total)
    cells = [("fold", "crops", "val top-1")]
    cells += [(folder.name, f"{len(found):,}", percent(accuracies[folder.name])) for folder, found in runs.items()]
    return "\n".join(
        [
            *format_table(cells, is_numeric=True),
            f"mean and spread over {plural(len(accuracies), 'fold')}: {mean_and_spread(list(accuracies.values()))} %",
            f"all crops: {percent(correct / total)} ({correct:,} / {total:,}), 95 % interval {percent(low)} to "
            f"{percent(high)} over the crops",
            f"{plural(len(labels), 'suspicious label')}, see {out / 'labels.html'}; all predictions are in "
            f"{out / POOLED}",
            "",
        ]
    )


def _cells(each: OutOfFold) -> tuple[str, ...]:
    return each.label, each.predicted, f"{each.confidence:.4f}", f"{each.label_probability:.6f}", each.run


def main() -> None:
    """Pools the runs of the command line, and prints the result."""
    which = "folder of a finished run, one for each fold, such as runs/resnet18_small/try-fold_0"
    parser = runs_parser("jersey.compare.folds", __doc__, which=which)
    parser.add_argument("--out", type=path_argument, required=True, metavar="FOLDER", help="folder, such as folds")
    flags = parser.parse_args()
    require_folder(flags.out, own=POOLED, remedy="choose another --out")
    escape_missing_characters()
    print(report(flags.runs, flags.out), end="", flush=True)
    print(export_average(flags.runs, flags.out))


if __name__ == "__main__":
    with exit_on_user_error():
        main()
