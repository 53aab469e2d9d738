"""The report of a run on ten crops whose metrics are known."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from jersey.core.labels import Labels
from jersey.core.timing import Ratio
from jersey.data.sampler import BalancedSampler, class_balance
from jersey.evaluation.calibration import Calibration, CalibrationError
from jersey.evaluation.metrics import Evaluation
from jersey.evaluation.tracklets import TrackletScore
from jersey.export.parity import ParityResult
from jersey.export.pipeline import ExportResult
from jersey.export.variants import Variant
from jersey.inference.onnx_model import Threshold
from jersey.report.document import Text, as_html, as_markdown
from jersey.report.report import ReportContent, report_page

LABELS = Labels(("0", "00", "01", "7"))
GAP = CalibrationError(0.01, 0.005, 0.02, 0.004)
CALIBRATION = Calibration(
    temperature=1.5,
    crops=10,
    before=replace(GAP, value=0.08),
    after=GAP,
    thresholds=(Threshold(0.95, 0.6, 0.9, 0.96, 0.8), Threshold(0.99, None, 0.0, None, 0.0)),
)
PARITY = ParityResult(crops=10, accuracy=0.8, max_logit_difference=1e-6, ties=[], disagreements=[])
COUNTS = {"0": 6, "00": 3, "01": 1, "7": 0}


def evaluation(pairs: list[tuple[int, int]]) -> Evaluation:
    """Returns an evaluation of crops with these labels and predictions."""
    labels_N, predicted_N = torch.tensor(pairs).T
    logits_NK = 5 * torch.nn.functional.one_hot(predicted_N, len(LABELS)).float()
    return Evaluation(logits_NK, labels_N, torch.arange(len(pairs)))


@pytest.fixture
def content(tmp_path: Path) -> ReportContent:
    """Eight of ten predictions are correct; "0" is predicted as "00" twice, and "7" has no crop."""
    sampler = BalancedSampler([0] * 6 + [1] * 3 + [2], power=1.0, seed=0)
    test = evaluation([(0, 0)] * 4 + [(0, 1)] * 2 + [(1, 1)] * 3 + [(2, 2)])
    return ReportContent(
        folder=tmp_path,
        best_epoch=3,
        epochs=7,
        reproduction=[Text("python launch.py")],
        config_diff="",
        val=test,
        test=test,
        labels=LABELS,
        balance=class_balance(
            COUNTS, sampler, torch.tensor([1.0, 2.0, 1.0, 0.0]), torch.tensor([0.0, -0.5, -2.0, -2.0])
        ),
        exported=ExportResult(PARITY, CALIBRATION, [TrackletScore(3, 0, 4, 2, 0.5, 1.0, 0.5)], []),
        info=None,
    )


def page(content: ReportContent) -> str:
    return as_markdown("run", report_page(content))


def test_the_page_states_metrics_errors_and_calibration(content: ReportContent) -> None:
    text = page(content)
    lead = "**Test accuracy 80.0 % (8 / 10), 95 % interval 49.0 % to 94.3 %**"
    assert text.splitlines()[2] == lead
    headings = ["Metrics", "Errors", "Calibration and abstention", "Data", "Exported model"]
    headings += ["Config changes", "Reproduce"]
    assert [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")] == headings
    assert "3 of 4 in val, 3 in test" in text
    assert "epoch 3 of 7" in text
    assert "classes" not in text.replace("Macro metrics", ""), "a count is no metric"
    assert "| 0 against 00 | 2 | 0 predicted as 00 (2x) |" in text
    # The sampler balances the three labels, and the loss weight of one is 2; the lowest recall comes first.
    table = text[text.index("lowest test recall (3 of 3)") :].splitlines()[4:8]
    assert table[0] == '| "0" | 6 | 4 (66.7 %) | 6 | 33.3 % | 1.000 | 25.0 % | 0.00 |'
    assert table[1] == '| "00" | 3 | 3 (100.0 %) | 3 | 33.3 % | 2.000 | 50.0 % | -0.50 |'
    assert [row.split(" | ")[:3] for row in table[2:]] == [['| "01"', "1", "1 (100.0 %)"], [""]]
    assert "0 (most frequent) has 6 times the crops and 1 times the loss of 01 (rarest)" in text
    assert "divided by 1.500" in text
    before = "0.0800 (95 % interval 0.0050 to 0.0200; 0.0040 under perfect calibration) before scaling, and 0.0100"
    assert before in text
    assert "| ece |" not in text, "the calibration error is stated once"
    assert "| 95.0 % | 0.6000 | 90.0 % | 80.0 % | 96.0 % |" in text
    assert "| 99.0 % | not reached | - | - | - |" in text
    assert "| 3 | 4 | 50.0 % (15.0 % to 85.0 %) |" in text
    assert "int8" not in text
    assert "this is the registered experiment" in text


def test_warnings_and_findings_are_on_the_page_and_columns_with_one_value_are_not(content: ReportContent) -> None:
    plain = class_balance(
        COUNTS, BalancedSampler([0] * 6 + [1] * 3 + [2], power=0.5, seed=0), torch.ones(4), torch.zeros(4)
    )
    text = page(replace(content, balance=plain, warnings=["the disk is slow"], findings=["leak: a.jpg"] * 12))
    assert "## Warnings\n\nthe disk is slow" in text
    assert text.count("leak: a.jpg") == 10
    assert "2 more findings are in audit.txt" in text
    assert "| label | test crops | correct | train crops | sampled |" in text


def test_a_test_split_without_errors_is_stated(content: ReportContent) -> None:
    assert "The test split has no errors." in page(replace(content, test=evaluation([(0, 0), (1, 1)])))


def test_the_difference_from_the_registered_experiment_is_shown(content: ReportContent) -> None:
    text = page(replace(content, config_diff="trainer\ntrainer.epochs  30  5\n"))
    assert "```text\ntrainer\ntrainer.epochs  30  5\n```" in text
    assert "this is the registered experiment" not in text


def test_only_figures_in_the_run_folder_are_shown(content: ReportContent) -> None:
    assert "![" not in page(content)
    for name in ("curves.png", "confusion_matrix_test.png"):
        Image.new("RGB", (2, 2)).save(content.folder / name)
    assert page(content).count("![") == 2
    assert as_html("run", report_page(content), content.folder).count("data:image/png") == 2


def test_ties_and_variants_are_listed_with_measurements_and_reasons(content: ReportContent) -> None:
    parity = replace(content.exported.parity, ties=["val/00/a_b.jpg"], accuracy=0.7, disagreements=["val/0/a.jpg"])
    fp16, slower = replace(parity, disagreements=[]), Ratio(0.5, 0.4, 0.6)
    variants = [
        Variant("int8", "model.int8.onnx", "", parity, Ratio(3.0, 2.5, 3.25), 11_600_000),
        Variant("fp16", "model.fp16.onnx", "it is slower", fp16, slower, 22_000_000),
    ]
    text = page(replace(content, exported=replace(content.exported, parity=parity, variants=variants)))
    assert "val/00/a\\_b.jpg" in text
    assert "| model.int8.onnx | 90.0 % | 70.0 % | 3.000 (2.500 to 3.250) | 11.6 MB | written |" in text
    assert "| model.fp16.onnx | 100.0 % | 70.0 % | 0.500 (0.400 to 0.600) | 22.0 MB | it is slower |" in text
