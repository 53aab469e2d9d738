"""What a run reached, on one page that can be sent to somebody who was not there.

Shapes: K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jersey.core.atomic import write_text
from jersey.core.labels import Labels
from jersey.data.sampler import ClassSampling, imbalance_summary
from jersey.evaluation.calibration import Calibration, wilson_interval
from jersey.evaluation.digit_errors import errors_by_type, examples, total
from jersey.evaluation.metrics import Evaluation
from jersey.evaluation.tracklets import TrackletScore
from jersey.export.pipeline import ExportResult
from jersey.inference.onnx_model import Threshold
from jersey.report.document import Block, CodeBlock, Figure, Heading, TableBlock, Text, as_html, as_markdown
from jersey.report.model_profile import profile_rows

WORST_CLASSES = 8
PICTURES = {  # each is there if the config has its callback
    "curves": {"curves.png": "loss, accuracy and learning rate, epoch by epoch"},
    "errors": {
        "confusion_matrix_test.png": "test crops of each number (row) and what they were read as (column)",
        "digit_errors_test.png": "errors of the test by what happened to the digits",
        "predictions_test.png": "test crops read right, read wrong with confidence, and least sure",
        "grad_cam_test.png": "where the network looked",
    },
    "sureness": {"calibration_test.png": "confidence against truth, and what it buys to answer only the surest crops"},
    "data": {
        "dataset.png": "crops of each number in each split",
        "class_sampling.png": "how often each number was drawn for training",
        "inputs_train.png": "crops as the network saw them in training",
    },
}


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """What the page is made from.

    Attributes:
        folder: of the run, with its pictures.
        facts: short statements such as commit and best epoch, by name.
        difference: of the config from the registered experiment; empty when there is none.
        val: scores of the exported weights, by name.
        balance: what sampler and loss weights made of each number.
        info: what the model costs, see `jersey.report.model_profile`; None when nobody has measured.
    """

    folder: Path
    facts: Mapping[str, str]
    difference: str
    val: Mapping[str, float]
    test: Evaluation
    labels: Labels
    balance: Mapping[str, ClassSampling]
    exported: ExportResult
    info: Mapping[str, Any] | None


def write_report(title: str, content: ReportContent) -> None:
    """Writes `report.md` and `report.html` into the run folder."""
    page = report_page(content)
    write_text(content.folder / "report.html", as_html(title, page, content.folder))
    write_text(content.folder / "report.md", as_markdown(title, page))


def report_page(result: ReportContent) -> list[Block]:
    """The page from its first sentence to what was exported."""
    val, test, labels = result.val, result.test, result.labels
    right, low, high = _accuracy(int(test.confusion_KK.diagonal().sum()), len(test.labels_N))
    scores = {name: (val.get(name), test.metrics.get(name)) for name in {**test.metrics, **val}}
    return [
        Text(f"{right} of {len(test.labels_N):,} test crops read right (95 % interval {low} to {high}).", lead=True),
        TableBlock(("fact", "value"), list(result.facts.items())),
        Heading("What differs from the registered experiment"),
        CodeBlock(result.difference) if result.difference else Text("Nothing."),
        Heading("Scores"),
        TableBlock(("score", "val", "test"), [(name, *map(_figure, pair)) for name, pair in scores.items()]),
        Text(
            "Macro scores are means over the numbers that have crops in the split: "
            f"{val['classes_present']:.0f} of {len(labels)} in val, {len(test.present_J)} in test."
        ),
        *_pictures(result.folder, "curves"),
        Heading("Errors"),
        _errors(test, labels),
        Text(f"The {WORST_CLASSES} numbers read worst in the test split, and what training made of them:"),
        TableBlock(
            ("number", "test crops", "read right", "train crops", "drawn", "loss weight", "share of the loss"),
            _worst(test, labels, result.balance),
        ),
        Text(f"Balance of training, {imbalance_summary(result.balance)}."),
        *_pictures(result.folder, "errors"),
        *([Heading("Data"), *data] if (data := _pictures(result.folder, "data")) else []),
        Heading("How sure it is"),
        *_sureness(result.exported.calibration),
        *_pictures(result.folder, "sureness"),
        *_tracklets(result.exported.tracklet_accuracy),
        Heading("The exported model"),
        *_exported(result),
    ]


def _accuracy(right: int, crops: int) -> tuple[str, ...]:
    """The fraction of right ones, and the ends of its interval."""
    return tuple(f"{each:.1%}" for each in (right / crops, *wilson_interval(right, crops)))


def _figure(score: float | None) -> str:
    return "-" if score is None else f"{score:.4g}"


def _errors(test: Evaluation, labels: Labels) -> Block:
    errors = errors_by_type(test.confusion_KK.numpy(), labels.names)
    rows = [(str(kind), str(total(found)), examples(found)) for kind, found in errors.items() if found]
    header = ("what happened to the digits", "crops", "for instance")
    return TableBlock(header, rows) if rows else Text("None in the test split.")


def _worst(test: Evaluation, labels: Labels, balance: Mapping[str, ClassSampling]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for k in test.present_J[test.recall_K[test.present_J].argsort(stable=True)[:WORST_CLASSES]].tolist():
        name, right = labels.names[k], f"{int(test.confusion_KK[k, k])} ({test.recall_K[k]:.0%})"
        rows.append((f'"{name}"', str(int(test.support_K[k])), right, *balance[name].cells))
    return rows


def _sureness(calibration: Calibration) -> list[Block]:
    return [
        Text(
            f"The probabilities of model.onnx are those of logits divided by {calibration.temperature:.3f}, as found "
            f"on {calibration.crops:,} validation crops. Expected calibration error on the test crops (bins of equally "
            "many; 95 % interval; what a perfectly calibrated network would have by chance): "
            f"{calibration.before} without it, {calibration.after} with it."
        ),
        Text(
            "Answers only from a confidence on, which was found on the validation crops: how many crops are answered "
            "then, and how many of the answers are right."
        ),
        TableBlock(
            ("precision wanted", "confidence", "val answered", "test answered", "test right"),
            [_threshold_cells(each) for each in calibration.thresholds],
        ),
    ]


def _threshold_cells(threshold: Threshold) -> tuple[str, ...]:
    if threshold.confidence is None:
        return (f"{threshold.precision:.0%}", "none is enough", "-", "-", "-")
    right = threshold.test_precision
    return (
        f"{threshold.precision:.0%}",
        f"{threshold.confidence:.4f}",
        f"{threshold.val_coverage:.1%}",
        f"{threshold.test_coverage:.1%}",
        "-" if right is None else f"{right:.2%}",
    )


def _tracklets(tracklet_accuracy: Sequence[TrackletScore]) -> list[Block]:
    if not tracklet_accuracy:
        return []
    shares = ("{} ({} to {})".format(*_accuracy(each.right, each.windows)) for each in tracklet_accuracy)
    rows = [
        (str(each.frames), f"{each.windows:,}", share) for each, share in zip(tracklet_accuracy, shares, strict=True)
    ]
    return [
        Text("Crops of one player in a row, read as one, by how many they are (95 % interval):"),
        TableBlock(("crops", "times in the test split", "read right"), rows),
    ]


def _exported(result: ReportContent) -> list[Block]:
    parity, variants = result.exported.parity, result.exported.variants
    blocks: list[Block] = [
        Text(
            f"model.onnx agrees with torch on the top-1 of all {parity.crops:,} validation crops, at batch sizes 1 "
            f"(the files as they lie on disk), 2, 7 and 64; no logit differs by more than "
            f"{parity.max_logit_difference:.1e}. onnxruntime alone, from the files, reads {parity.accuracy:.2%} "
            "of them right."
        )
    ]
    if parity.ties:
        blocks.append(Text(f"Ties, whose top two logits swap by rounding: {', '.join(parity.ties)}."))
    if variants:
        blocks += [
            Text(
                "Variants of it: on how many validation crops they have torch's top-1, how many they read right, and "
                "how many times as fast as model.onnx they are with one crop at a time on this CPU (median of pairs, "
                "quartiles)."
            ),
            TableBlock(("variant", "as torch", "right", "speed", "size", ""), [each.cells for each in variants]),
        ]
    return [*blocks, TableBlock(("of the model", ""), profile_rows(result.info))] if result.info else blocks


def _pictures(folder: Path, about: str) -> Sequence[Block]:
    return [Figure(file, caption) for file, caption in PICTURES[about].items() if (folder / file).exists()]
