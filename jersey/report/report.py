"""Writes the report of a run: one self-contained page with metrics, errors, calibration and the exported model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jersey.core.atomic import write_text
from jersey.core.labels import Labels, SplitName
from jersey.core.tables import percent
from jersey.data.sampler import BALANCE_COLUMNS, ClassSampling, imbalance_summary
from jersey.evaluation.calibration import BINS, Calibration, wilson_interval
from jersey.evaluation.digit_errors import errors_by_type, examples, total
from jersey.evaluation.metrics import Evaluation
from jersey.evaluation.tracklets import TrackletScore
from jersey.export.pipeline import ExportResult
from jersey.inference.onnx_model import Threshold
from jersey.report.document import Block, CodeBlock, Figure, Heading, TableBlock, Text, as_html, as_markdown
from jersey.report.model_profile import profile_rows

WORST_CLASSES = 8  # enough to show a pattern, few enough for one glance
FIGURES = {  # captions by file and section; a file exists if the config has its callback
    "curves": {"curves.png": "loss, accuracy and learning rate by epoch"},
    "errors": {
        "confusion_matrix_test.png": "confusion matrix of the test split: labels (rows) and predictions (columns)",
        "digit_errors_test.png": "test errors by error type",
        "predictions_test.png": "test crops: correct predictions, confident errors, and lowest confidences",
        "grad_cam_test.png": "Grad-CAM: which pixels support a prediction",
    },
    "calibration": {
        f"calibration_{split}.png": "reliability diagram, and precision by coverage" for split in ("test", "val")
    },
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
        summary: short statements such as commit and best epoch, by name.
        config_diff: difference of the config from the registered experiment; empty if there is none.
        val: validation metrics of the exported weights, by name.
        evaluation: evaluation on `split`.
        split: "test", or "val" without a test split.
        labels: label map.
        balance: sampling probability and loss weight of each class, by label.
        exported: results of the export.
        info: profile of the model, see `jersey.report.model_profile`; None if it was not measured.
    """

    folder: Path
    summary: Mapping[str, str]
    config_diff: str
    val: Mapping[str, float]
    evaluation: Evaluation
    split: SplitName
    labels: Labels
    balance: Mapping[str, ClassSampling]
    exported: ExportResult
    info: Mapping[str, Any] | None


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
    """Returns the blocks of the page, from the headline to the exported model."""
    val, evaluation, labels, split = content.val, content.evaluation, content.labels, content.split
    test_metrics = evaluation.metrics if split == "test" else {}
    # The calibration error has its own statement, with an interval and the effect of the temperature.
    metrics = {name: (val.get(name), test_metrics.get(name)) for name in {**test_metrics, **val} if name != "ece"}
    return [
        Text(_headline(evaluation, split), lead=True),
        Heading("Run"),
        TableBlock(("property", "value"), list(content.summary.items())),
        Heading("Config changes"),
        CodeBlock(content.config_diff) if content.config_diff else Text("None; this is the registered experiment."),
        Heading("Metrics"),
        TableBlock(("metric", "val", "test"), [(name, *map(_value, pair)) for name, pair in metrics.items()]),
        Text(
            "Macro metrics are means over the labels that have crops in the split: "
            f"{val['classes_present']:.0f} of {len(labels)} in val"
            + (f", {len(evaluation.present_J)} in test." if split == "test" else ".")
        ),
        *_figures(content.folder, "curves"),
        Heading("Errors"),
        _errors(evaluation, labels, split),
        *_worst(evaluation, labels, content.balance, split),
        Text(f"Class imbalance in training: {imbalance_summary(content.balance)}."),
        *_figures(content.folder, "errors"),
        *([Heading("Data"), *data] if (data := _figures(content.folder, "data")) else []),
        Heading("Calibration and abstention"),
        *_calibration(content.exported.calibration, split),
        *_figures(content.folder, "calibration"),
        *_tracklets(content.exported.tracklet_accuracy, split),
        Heading("Exported model"),
        *_exported(content),
    ]


def _headline(evaluation: Evaluation, split: SplitName) -> str:
    correct, crops = int(evaluation.confusion_KK.diagonal().sum()), len(evaluation.labels_N)
    accuracy, low, high = map(percent, (correct / crops, *wilson_interval(correct, crops)))
    name = "Test" if split == "test" else "No test split: validation"
    return f"{name} accuracy {accuracy} ({correct:,} / {crops:,}), 95 % interval {low} to {high}"


def _value(metric: float | None) -> str:
    return "-" if metric is None else f"{metric:.4g}"


def _errors(evaluation: Evaluation, labels: Labels, split: SplitName) -> Block:
    errors = errors_by_type(evaluation.confusion_KK.numpy(), labels.names)
    rows = [(str(kind), str(total(found)), examples(found)) for kind, found in errors.items() if found]
    return TableBlock(("error type", "crops", "examples"), rows) if rows else Text(f"The {split} split has no errors.")


def _worst(test: Evaluation, labels: Labels, balance: Mapping[str, ClassSampling], split: SplitName) -> list[Block]:
    header = ("label", f"{split} crops", "correct", *BALANCE_COLUMNS)
    worst_first_J = test.present_J[test.recall_K[test.present_J].argsort(stable=True)]
    rows: list[tuple[str, ...]] = []
    for k in worst_first_J[:WORST_CLASSES].tolist():
        name, correct = labels.names[k], f"{int(test.confusion_KK[k, k])} ({percent(float(test.recall_K[k]), 0)})"
        rows.append((f'"{name}"', str(int(test.support_K[k])), correct, *balance[name].cells))
    count = f"{len(rows)} of {len(worst_first_J)}"
    return [
        Text(f"Labels with the lowest {split} recall ({count}), and their weight in training:"),
        TableBlock(header, rows),
    ]


def _calibration(calibration: Calibration, split: SplitName) -> list[Block]:
    return [
        Text(
            f"model.onnx applies temperature scaling: logits are divided by {calibration.temperature:.3f}, fitted on "
            f"{calibration.crops:,} validation crops, before the softmax. The expected calibration error (ECE, {BINS} "
            f"bins of equally many crops) on the {split} split is {calibration.before} before scaling, and "
            f"{calibration.after} after it."
        ),
        Text(
            "A confidence threshold makes the model abstain on uncertain crops. Each threshold was chosen on the "
            "validation split for a precision target; coverage is the fraction of legible crops that get a prediction."
        ),
        TableBlock(
            ("precision target", "confidence threshold", "val coverage", "test coverage", "test precision"),
            [_threshold_cells(each) for each in calibration.thresholds],
        ),
    ]


def _threshold_cells(threshold: Threshold) -> tuple[str, ...]:
    target, precision = percent(threshold.precision, 0), threshold.test_precision
    if threshold.confidence is None:
        return (target, "not reached", "-", "-", "-")
    return (
        target,
        f"{threshold.confidence:.4f}",
        percent(threshold.val_coverage),
        "-" if threshold.test_coverage is None else percent(threshold.test_coverage),
        "-" if precision is None else percent(precision, 2),
    )


def _tracklets(tracklet_accuracy: Sequence[TrackletScore], split: SplitName) -> list[Block]:
    if not tracklet_accuracy:
        return []
    rows = []
    for each in tracklet_accuracy:
        low, high = wilson_interval(each.correct, each.windows)
        accuracy = f"{percent(each.correct / each.windows)} ({percent(low)} to {percent(high)})"
        rows.append((str(each.frames), f"{each.windows:,}", accuracy))
    return [
        Text("Accuracy on tracklets, with the predictions on consecutive crops of one player pooled (95 % interval):"),
        TableBlock(("crops per window", f"windows in the {split} split", "accuracy"), rows),
    ]


def _exported(content: ReportContent) -> list[Block]:
    parity, variants = content.exported.parity, content.exported.variants
    blocks: list[Block] = [
        Text(
            f"model.onnx predicts torch's top-1 label on all {parity.crops:,} validation crops, at batch sizes 1 "
            f"(the original files), 2, 7 and 64; logits differ by at most {parity.max_logit_difference:.1e}. Its "
            f"validation accuracy in onnxruntime, on the original files, is {percent(parity.accuracy, 2)}."
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
