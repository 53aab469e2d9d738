"""The page of a run for an exported file and any data: `python -m jersey.evaluate` writes it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from jersey.core.atomic import atomic_write, write_text
from jersey.core.labels import ILLEGIBLE_INDEX
from jersey.evaluation.calibration import Calibration, calibration_error, on_test
from jersey.evaluation.digit_errors import digit_confusions, errors_by_type
from jersey.evaluation.metrics import Evaluation
from jersey.inference.onnx_model import OnnxModel
from jersey.plots import calibration as calibration_plot
from jersey.plots import matrices
from jersey.report.document import Block, Figure, Heading, TableBlock, Text, as_html, as_markdown
from jersey.report.report import errors_table, headline, metrics_table, thresholds_table, worst_labels


def write_page(
    model: OnnxModel,
    logits_NK: np.ndarray,
    labels: Sequence[str],
    rows: Sequence[int],
    *,
    title: str,
    source: str,
    split: str,
    excluded: Sequence[str],
    out: Path,
) -> None:
    """Writes `report.html`, `report.md` and their figures.

    Args:
        model: exported file.
        logits_NK: its logits, float32.
        labels: N labels; one that the file does not know means an illegible image.
        rows: row of each image in its split.
        title: title of the page.
        source: description of the data.
        split: evaluated split, or another adjective of the accuracy.
        excluded: sentences about images that are not among the N.
        out: folder, which is created if it is missing.
    """
    out.mkdir(parents=True, exist_ok=True)
    labels_N = torch.tensor([model.labels.class_to_idx.get(label, ILLEGIBLE_INDEX) for label in labels])
    logits, rows_N, is_legible_N = torch.from_numpy(logits_NK), torch.tensor(rows), labels_N >= 0
    evaluation = Evaluation(
        logits[is_legible_N],
        labels_N[is_legible_N],
        rows_N[is_legible_N],
        illegible_logits_UK=logits[~is_legible_N],
        illegible_indices_U=rows_N[~is_legible_N],
        temperature=model.temperature,
    )
    page = page_of(model, evaluation, excluded, out, source=source, split=split)
    write_text(out / "report.html", as_html(title, page, out))
    write_text(out / "report.md", as_markdown(title, page))


def page_of(
    model: OnnxModel, evaluation: Evaluation, excluded: Sequence[str], out: Path, *, source: str, split: str
) -> list[Block]:
    """Writes the figures into `out`, and returns the blocks of the page.

    Args:
        model: evaluated file.
        evaluation: its predictions.
        excluded: sentences about excluded images.
        out: existing folder.
        source: description of the data.
        split: evaluated split, or another adjective of the accuracy.
    """
    labels = model.labels
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
        Text(f"{split.capitalize()} {headline(evaluation)}", lead=True),
        *(Text(sentence) for sentence in excluded),
        Heading("Metrics"),
        metrics_table({split: evaluation}),
        Heading("Errors"),
        errors_table(evaluation, labels, split),
        *worst_labels(evaluation, labels, split),
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
