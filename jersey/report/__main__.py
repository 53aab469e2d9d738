"""Evaluates an exported file on a data set, and writes the page of a run: `python -m jersey.report MODEL ROOT OUT`.

OUT gets `report.html`, `report.md` and the figures. Images that cannot be read, and images with labels that the file
does not know, are excluded from every metric and counted on the page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from jersey.core.atomic import atomic_write, write_text
from jersey.core.command_line import parser_for
from jersey.core.errors import UserError, exit_on_user_error, summarize
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_INDEX, SplitName
from jersey.data.decode import BadImage, decode
from jersey.data.index import read_splits
from jersey.data.split import Split, relative_name
from jersey.evaluation.calibration import Calibration, calibration_error, on_test
from jersey.evaluation.digit_errors import digit_confusions, errors_by_type
from jersey.evaluation.metrics import Evaluation
from jersey.inference.onnx_model import OnnxModel
from jersey.plots import calibration as calibration_plot
from jersey.plots import matrices
from jersey.report.document import Block, Figure, Heading, TableBlock, Text, as_html, as_markdown
from jersey.report.report import errors_table, headline, metrics_table, thresholds_table, worst_labels

MAX_NAMED = 5  # excluded images that the page names


@dataclass(frozen=True)
class Evaluated:
    """The predictions of a file on a split.

    Attributes:
        evaluation: logits and labels.
        excluded: sentences about the excluded images.
    """

    evaluation: Evaluation
    excluded: Sequence[str]


def main(model: Path, root: Path, out: Path, split: SplitName = "test") -> None:
    """Evaluates a file and writes the page.

    Args:
        model: exported file, such as runs/quickstart/RUN/model.onnx.
        root: folder of the data set, with train, val and test.
        out: folder for the page, which is created if it is missing.
        split: split to evaluate on.

    Raises:
        UserError: the file or the data cannot be used, or no image of the split has a label that the file knows.
    """
    file, rows = OnnxModel(model), read_splits(root)[split]
    found = evaluate(file, rows, root)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create {out} ({error.strerror}); choose another folder") from None
    source = f"{split} of {root}"
    page, title = page_of(file, found, out, source=source), f"{model} on {source}"
    write_text(out / "report.html", as_html(title, page, out))
    write_text(out / "report.md", as_markdown(title, page))
    print(f"top-1 {100 * found.evaluation.metrics['acc_top1']:.1f} %, see {out / 'report.html'}")


def evaluate(model: OnnxModel, split: Split, root: Path) -> Evaluated:
    """Predicts every image of a split in its original size.

    Raises:
        UserError: no image has a label that the file knows.
    """
    index_of = model.labels.class_to_idx
    logits, labels, rows, bad, unknown = [], [], [], [], []
    paths = zip(split.paths, split.labels, strict=True)
    for row, (path, label) in enumerate(tqdm(paths, desc="predicting", total=len(split), unit="image", disable=None)):
        if label != ILLEGIBLE and label not in index_of:
            unknown.append(f"{relative_name(path, root)} ({label})")
            continue
        try:
            image_1CHW = np.ascontiguousarray(decode(path).transpose(2, 0, 1))[None]
        except BadImage as problem:
            bad.append(f"{relative_name(path, root)} {problem.reason}")
            continue
        logits.append(model.logits(image_1CHW)[0])
        labels.append(index_of.get(label, ILLEGIBLE_INDEX))
        rows.append(row)
    reasons = {"the image cannot be read": bad, "the file does not know the label": unknown}
    excluded = [
        f"Excluded because {reason} ({len(each):,}): {summarize(each, limit=MAX_NAMED)}."
        for reason, each in reasons.items()
        if each
    ]
    labels_N, rows_N = torch.tensor(labels), torch.tensor(rows)
    if not (labels_N >= 0).any():
        raise UserError(f"no image of {split.name} in {root} has a label of the model; choose data with its labels")
    logits_NK, is_legible_N = torch.from_numpy(np.stack(logits)), labels_N >= 0
    evaluation = Evaluation(
        logits_NK[is_legible_N],
        labels_N[is_legible_N],
        rows_N[is_legible_N],
        illegible_logits_UK=logits_NK[~is_legible_N],
        illegible_indices_U=rows_N[~is_legible_N],
        temperature=model.temperature,
    )
    return Evaluated(evaluation, excluded)


def page_of(model: OnnxModel, found: Evaluated, out: Path, *, source: str) -> list[Block]:
    """Writes the figures into `out`, and returns the blocks of the page.

    Args:
        model: evaluated file.
        found: its predictions.
        out: existing folder.
        source: description of the data.
    """
    evaluation, labels = found.evaluation, model.labels
    counts_KK, predictions = evaluation.confusion_KK.numpy(), evaluation.predictions
    calibrated = predictions.at(model.temperature)
    thresholds = tuple(on_test(each, calibrated) for each in model.thresholds)
    before, after = (calibration_error(each) for each in (predictions, calibrated))
    calibration = Calibration(model.temperature, 0, before, after, thresholds)
    digits = errors_by_type(counts_KK, labels.names), digit_confusions(counts_KK, labels.names)
    figures = {
        "confusion_matrix.png": matrices.confusion_matrix(counts_KK, labels.names, title=source),
        "digit_errors.png": matrices.digit_errors(*digits, crops=int(counts_KK.sum()), title=source),
        "calibration.png": calibration_plot.calibration(predictions, calibration, title=source),
    }
    for name, image in figures.items():
        with atomic_write(out / name) as path:
            image.save(path)
    origin = ("experiment", "run", "commit", "labels_sha256")
    rows = [("data", source), *((name, model.metadata[name]) for name in origin if model.metadata.get(name))]
    return [
        Text(f"Test {headline(int(counts_KK.trace()), int(counts_KK.sum()))}", lead=True),
        *(Text(sentence) for sentence in found.excluded),
        Heading("Metrics"),
        metrics_table({"test": evaluation}),
        Heading("Errors"),
        errors_table(evaluation, labels),
        *worst_labels(evaluation, labels),
        Figure("confusion_matrix.png", "confusion matrix: labels (rows) and predictions (columns)"),
        Figure("digit_errors.png", "errors by error type"),
        Heading("Calibration and abstention"),
        Text(
            f"The file divides logits by {model.temperature:.3f}. The expected calibration error on these images is "
            f"{calibration.before} before scaling, and {calibration.after} after it. Test columns are of these images."
        ),
        *([thresholds_table(thresholds)] if thresholds else []),
        Figure("calibration.png", "reliability diagram, and precision by coverage"),
        Heading("File"),
        TableBlock(("property", "value"), rows),
    ]


if __name__ == "__main__":
    with exit_on_user_error():
        main(**vars(parser_for("jersey.report", __doc__, main).parse_args()))
