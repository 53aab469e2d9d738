"""`report.md`: what a run is, what it reached and what it left, on one page."""

from collections.abc import Sequence

from jersey.export import Agreement
from jersey.labels import Labels
from jersey.metrics import Evaluation

WORST_CLASSES = 8


def report(
    title: str,
    facts: dict[str, str],
    val: dict[str, float],
    test: Evaluation,
    labels: Labels,
    agreement: Agreement,
) -> str:
    """Markdown, for the run folder.

    Args:
        title: experiment and run.
        facts: short statements such as commit and best epoch, by name.
        val: validation scores of the exported weights, by name.
        test: what the exported weights said about the test split.
        labels: the label map.
        agreement: of the ONNX file with torch.
    """
    lines = [
        f"# {title}",
        "",
        f"**{test.metrics['acc_top1']:.1%} of {len(test.labels_N)} test crops read right** (top-1).",
        "",
        *_table(("fact", "value"), list(facts.items())),
        "",
        "## Scores",
        "",
        *_table(
            ("score", "val", "test"),
            [(name, f"{val[name]:.4g}", f"{score:.4g}") for name, score in test.metrics.items()],
        ),
        "",
        "Macro averages are over the classes that have crops in the split.",
        "",
        "## Confusions",
        "",
        "![confusion matrix of the test split](confusion_matrix_test.png)",
        "",
        f"The {WORST_CLASSES} numbers read worst in the test split:",
        "",
        *_table(("number", "crops", "read right"), _worst(test, labels)),
        "",
        "## Exported",
        "",
        f"`model.onnx` agrees with torch on the top-1 of all {agreement.crops} validation crops, at batch sizes 1 (the "
        f"files as they lie on disk), 2, 7 and 64; no logit differs by more than {agreement.max_logit_difference:.1e}. "
        f"onnxruntime alone, from the files, reads {agreement.accuracy:.2%} of them right.",
    ]
    if agreement.ties:
        lines += ["", f"Ties, whose top two logits swap by rounding: {', '.join(agreement.ties)}."]
    return "\n".join(lines) + "\n"


def _worst(evaluation: Evaluation, labels: Labels) -> list[tuple[str, str, str]]:
    recall_J = evaluation.recall_K[evaluation.present_J]
    worst = evaluation.present_J[recall_J.argsort()[:WORST_CLASSES]].tolist()
    support_K = evaluation.confusion_KK.sum(dim=1).tolist()
    return [(f'"{labels.names[k]}"', str(support_K[k]), f"{evaluation.recall_K[k]:.1%}") for k in worst]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]
