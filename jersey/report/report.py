"""Writes the report of a run: one self-contained page with metrics, errors, calibration and the exported model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from jersey.core.atomic import write_text
from jersey.core.labels import Labels
from jersey.core.tables import percent
from jersey.data.sampler import BALANCE_COLUMNS, ClassSampling, imbalance_summary
from jersey.evaluation.calibration import BINS, Calibration, wilson_interval
from jersey.evaluation.digit_errors import errors_by_type, examples, total
from jersey.evaluation.metrics import Evaluation, metric_text
from jersey.evaluation.tracklets import TrackletScore
from jersey.export.pipeline import ExportResult
from jersey.inference.onnx_model import Threshold
from jersey.report.document import Block, CodeBlock, Figure, Heading, TableBlock, Text, as_html, as_markdown
from jersey.report.model_profile import profile_rows

MAX_FINDINGS = 10  # of the audit; a file has all of them
WORST_CLASSES = 8  # enough to show a pattern, few enough for one glance
FIGURES = {  # captions by file and section; a file exists if the config has its callback
    "curves": {"curves.png": "loss, accuracy and learning rate during training"},
    "errors": {
        "confusion_matrix_test.png": "confusion matrix of the test split: labels (rows) and predictions (columns)",
        "digit_errors_test.png": "test errors by error type",
        "predictions_test.png": "test crops: correct predictions, confident errors, and lowest confidences",
        "grad_cam_test.png": "Grad-CAM: which pixels support a prediction",
    },
    "calibration": {"calibration_test.png": "reliability diagram, and precision by coverage"},
    "data": {
        "dataset.png": "number of crops of each label in each split",
        "class_sampling.png": "how often each label was sampled for training",
        "inputs_train.png": "augmented training crops, as the network received them",
    },
}


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """The content of the page.

    Attributes:
        folder: folder of the run, with its figures.
        best_epoch: epoch of the weights, counted from 1.
        epochs: number of trained epochs.
        reproduction: blocks that describe how to repeat the run, see `jersey.report.reproduction`.
        config_diff: difference of the config from the registered experiment; empty if there is none.
        val: evaluation on the validation split.
        test: evaluation on the test split.
        labels: label map.
        balance: sampling probability and loss weight of each class, by label.
        exported: results of the export.
        info: profile of the model, see `jersey.report.model_profile`; None if it was not measured.
        findings: what the audit of the data found, one sentence each.
        warnings: warnings that this process logged, in their order.
        sections: blocks of the sections that callbacks added.
    """

    folder: Path
    best_epoch: int
    epochs: int
    reproduction: Sequence[Block]
    config_diff: str
    val: Evaluation
    test: Evaluation
    labels: Labels
    balance: Mapping[str, ClassSampling]
    exported: ExportResult
    info: Mapping[str, Any] | None
    findings: Sequence[str] = ()
    warnings: Sequence[str] = ()
    sections: Sequence[Block] = ()


def write_report(title: str, content: ReportContent) -> None:
    """Writes `report.md` and `report.html` into the run folder.

    Args:
        title: title of the page.
        content: content of the page.
    """
    page = report_page(content)
    write_text(content.folder / "report.html", as_html(title, page, content.folder))
    write_text(content.folder / "report.md", as_markdown(title, page))


def report_page(content: ReportContent) -> list[Block]:
    """Returns the blocks of the page, from the headline to what is needed to repeat the run."""
    val, test, labels = content.val, content.test, content.labels
    return [
        Text(f"Test {headline(int(test.confusion_KK.diagonal().sum()), len(test.labels_N))}", lead=True),
        Heading("Metrics"),
        Text(f"The weights are those of epoch {content.best_epoch} of {content.epochs}."),
        metrics_table({"val": val, "test": test}),
        Text(
            "Macro metrics are means over the labels that have crops in the split: "
            f"{len(val.present_J)} of {len(labels)} in val, {len(test.present_J)} in test. The loss is that of the "
            "logits before calibration."
        ),
        *_figures(content.folder, "curves"),
        Heading("Errors"),
        errors_table(test, labels),
        *worst_labels(test, labels, content.balance),
        *_figures(content.folder, "errors"),
        Heading("Calibration and abstention"),
        *_calibration(content.exported.calibration),
        *_figures(content.folder, "calibration"),
        *_tracklets(content.exported.tracklet_accuracy),
        Heading("Data"),
        *_data(content),
        Heading("Exported model"),
        *_exported(content),
        *content.sections,
        *_warnings(content.warnings),
        Heading("Config changes"),
        CodeBlock(content.config_diff) if content.config_diff else Text("None; this is the registered experiment."),
        Heading("Reproduce"),
        *content.reproduction,
    ]


def _warnings(warnings: Sequence[str]) -> list[Block]:
    return [Heading("Warnings"), *(Text(warning) for warning in warnings)] if warnings else []


def metrics_table(evaluations: Mapping[str, Evaluation]) -> Block:
    """Returns the table of the metrics, with a column for each evaluation by its name."""
    metrics = [evaluation.metrics for evaluation in evaluations.values()]
    # The number of classes is no metric, and the calibration error is stated with its interval further below.
    names = [name for name in dict.fromkeys(chain(*metrics)) if name not in ("classes_present", "ece")]
    columns = [[metric_text(name, each[name]) if name in each else "-" for name in names] for each in metrics]
    rows = [
        row for row in zip(names, *columns, strict=True) if set(row[1:]) != {"-"}
    ]  # AUROC of one label is undefined
    return TableBlock(("metric", *evaluations), rows)


def _data(content: ReportContent) -> list[Block]:
    found, more = content.findings[:MAX_FINDINGS], len(content.findings) - MAX_FINDINGS
    return [
        Text(f"Class imbalance in training: {imbalance_summary(content.balance)}."),
        Text("The audit of the data found:" if found else "The audit of the data found nothing to report."),
        *(Text(finding) for finding in found),
        *([Text(f"{more:,} more findings are in audit.txt.")] if more > 0 else []),
        *_figures(content.folder, "data"),
    ]


def headline(correct: int, crops: int) -> str:
    """Returns the accuracy with its interval."""
    accuracy, low, high = map(percent, (correct / crops, *wilson_interval(correct, crops)))
    return f"accuracy {accuracy} ({correct:,} / {crops:,}), 95 % interval {low} to {high}"


def errors_table(test: Evaluation, labels: Labels) -> Block:
    """Returns the table of the errors by type."""
    errors = errors_by_type(test.confusion_KK.numpy(), labels.names)
    rows = [(str(kind), str(total(found)), examples(found)) for kind, found in errors.items() if found]
    return TableBlock(("error type", "crops", "examples"), rows) if rows else Text("The test split has no errors.")


def worst_labels(test: Evaluation, labels: Labels, balance: Mapping[str, ClassSampling] | None = None) -> list[Block]:
    """Returns the table of the labels with the lowest recall, with their weight in training if that is known."""
    worst_first_J = test.present_J[test.recall_K[test.present_J].argsort(stable=True)]
    columns = _distinct_columns(balance) if balance else []
    header = ("label", "test crops", "correct", *(BALANCE_COLUMNS[column] for column in columns))
    rows: list[tuple[str, ...]] = []
    for k in worst_first_J[:WORST_CLASSES].tolist():
        name, correct = labels.names[k], f"{int(test.confusion_KK[k, k])} ({percent(float(test.recall_K[k]))})"
        cells = balance[name].cells if balance else ()
        rows.append((f'"{name}"', str(int(test.support_K[k])), correct, *(cells[column] for column in columns)))
    count = f"{len(rows)} of {len(worst_first_J)}"
    return [
        Text(f"Labels with the lowest test recall ({count}){', and their weight in training' if balance else ''}:"),
        TableBlock(header, rows),
    ]


def _distinct_columns(balance: Mapping[str, ClassSampling]) -> list[int]:
    """Returns the columns of BALANCE_COLUMNS that differ between labels, and from the columns before them."""
    columns = list(zip(*(each.cells for each in balance.values()), strict=True))
    return [
        index
        for index, column in enumerate(columns)
        if index == 0 or (len(set(column)) > 1 and column not in columns[:index])
    ]


def _calibration(calibration: Calibration) -> list[Block]:
    return [
        Text(
            f"model.onnx applies temperature scaling: logits are divided by {calibration.temperature:.3f}, fitted on "
            f"{calibration.crops:,} validation crops, before the softmax. The expected calibration error (ECE, {BINS} "
            f"bins of equally many crops) on the test split is {calibration.before} before scaling, and "
            f"{calibration.after} after it."
        ),
        Text(
            "A confidence threshold makes the model abstain on uncertain crops. Each threshold was chosen on the "
            "validation split for a precision target; coverage is the fraction of legible crops that get a prediction."
        ),
        thresholds_table(calibration.thresholds),
    ]


def thresholds_table(thresholds: Sequence[Threshold]) -> Block:
    """Returns the table of the confidence thresholds."""
    header = ("precision target", "confidence threshold", "val coverage", "test coverage", "test precision")
    return TableBlock(header, [_threshold_cells(each) for each in thresholds])


def _threshold_cells(threshold: Threshold) -> tuple[str, ...]:
    target, precision = percent(threshold.precision), threshold.test_precision
    if threshold.confidence is None:
        return (target, "not reached", "-", "-", "-")
    return (
        target,
        f"{threshold.confidence:.4f}",
        percent(threshold.val_coverage),
        percent(threshold.test_coverage),
        "-" if precision is None else percent(precision),
    )


def _tracklets(tracklet_accuracy: Sequence[TrackletScore]) -> list[Block]:
    if not tracklet_accuracy:
        return []
    rows = []
    for each in tracklet_accuracy:
        low, high = wilson_interval(each.correct, each.windows)
        accuracy = f"{percent(each.correct / each.windows)} ({percent(low)} to {percent(high)})"
        rows.append((str(each.frames), f"{each.windows:,}", accuracy))
    return [
        Text("Accuracy on tracklets, with the predictions on consecutive crops of one player pooled (95 % interval):"),
        TableBlock(("crops per window", "windows in the test split", "accuracy"), rows),
    ]


def _exported(content: ReportContent) -> list[Block]:
    parity, variants = content.exported.parity, content.exported.variants
    blocks: list[Block] = [
        Text(
            f"model.onnx predicts torch's top-1 label on all {parity.crops:,} validation crops, at batch sizes 1 "
            f"(the original files), 2, 7 and 64; logits differ by at most {parity.max_logit_difference:.1e}. Its "
            f"validation accuracy in onnxruntime, on the original files, is {percent(parity.accuracy)}."
        )
    ]
    if parity.ties:
        blocks.append(Text(f"Ties, whose top two logits swap ranks by rounding: {', '.join(parity.ties)}."))
    if variants:
        blocks += [
            Text(
                "Variants of model.onnx: agreement with torch's top-1 label and accuracy on the validation crops, and "
                "speed relative to model.onnx at batch size 1 on this CPU (median and quartiles of pairs)."
            ),
            TableBlock(
                ("variant", "agreement with torch", "accuracy", "relative speed", "size", "status"),
                [each.cells for each in variants],
            ),
        ]
    return [*blocks, TableBlock(("model", "value"), profile_rows(content.info))] if content.info else blocks


def _figures(folder: Path, section: str) -> Sequence[Block]:
    return [Figure(file, caption) for file, caption in FIGURES[section].items() if (folder / file).exists()]
