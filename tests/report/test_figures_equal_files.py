"""Every figure of the report follows from the CSV files, and from the ONNX file with the images alone."""

import csv
import json
import re
from itertools import pairwise
from pathlib import Path

import helpers.registered  # noqa: F401  # its import registers the experiments
import numpy as np
import pytest
from helpers.illegible_crops import write_crops
from helpers.run_folders import full_run
from PIL import Image
from sklearn.metrics import f1_score, roc_auc_score

from jersey import config as configs
from jersey.core.tables import percent
from jersey.data.decode import decode
from jersey.evaluation.digit_errors import error_type
from jersey.inference.onnx_model import OnnxModel
from jersey.runs.folder import RunFolder

pytestmark = pytest.mark.slow
BINS = 15
ILLEGIBLE = "illegible"


class Split:
    """The predictions on a split, with columns as arrays.

    Attributes:
        label_N: label of each crop, or "illegible".
        predicted_N: predicted label.
        confidence_N: calibrated confidence.
        raw_N: uncalibrated confidence.
        loss_N: loss; nan for illegible crops.
        rank_N: rank of the label; 0 for illegible crops.
    """

    def __init__(self, rows: list[dict[str, str]]) -> None:
        self.files = [row["file"] for row in rows]
        self.label_N = np.array([row["label"] for row in rows])
        self.predicted_N = np.array([row["predicted"] for row in rows])
        self.confidence_N = np.array([float(row["confidence"]) for row in rows])
        self.raw_N = np.array([float(row["uncalibrated_confidence"]) for row in rows])
        self.loss_N = np.array([float(row["loss"] or "nan") for row in rows])
        self.rank_N = np.array([int(row["label_rank"] or 0) for row in rows])
        self.legible_N = self.label_N != ILLEGIBLE
        self.correct_N = self.label_N == self.predicted_N


def from_csv(folder: Path, subset: str) -> Split:
    with (folder / f"predictions_{subset}.csv").open(encoding="utf-8", newline="") as file:
        return Split(list(csv.DictReader(file)))


def from_onnx(model: OnnxModel, root: Path, files: list[str]) -> tuple[Split, np.ndarray]:
    """Predicts the original image files; returns the same columns, and the probabilities [N,K]."""
    rows, all_probabilities = [], []
    for file in files:
        crop_1CHW = np.ascontiguousarray(decode(root / file).transpose(2, 0, 1))[None]
        logits_K, p_K = (model.output(name, crop_1CHW)[0].astype(np.float64) for name in ("logits", "probabilities"))
        raw_K = np.exp(logits_K - logits_K.max())
        raw_K /= raw_K.sum()
        folder = Path(file).parts[1]
        k = model.labels.class_to_idx.get(folder)
        rows.append(
            {
                "file": file,
                "label": folder,
                "predicted": model.labels.names[int(p_K.argmax())],
                "confidence": str(p_K.max()),
                "uncalibrated_confidence": str(raw_K.max()),
                "loss": "" if k is None else str(-np.log(raw_K[k])),
                "label_rank": "" if k is None else str(1 + int((p_K > p_K[k]).sum())),
            }
        )
        all_probabilities.append(p_K)
    return Split(rows), np.stack(all_probabilities)


def ece(confidence_N: np.ndarray, correct_N: np.ndarray) -> float:
    order_N = np.argsort(confidence_N, kind="stable")
    edges = np.linspace(0, len(order_N), min(BINS, len(order_N)) + 1).astype(int)
    parts = [order_N[low:high] for low, high in pairwise(edges)]
    return sum(abs(confidence_N[rows].sum() - correct_N[rows].sum()) for rows in parts) / len(order_N)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A short run on a data set with illegible crops in all splits, with errors."""
    folder = tmp_path_factory.mktemp("equal")
    config = configs.get_experiment("resnet18_baseline")()
    root = write_crops(folder / "crops", "folders")
    for split, (source, target) in {"val": ("0", "01"), "test": ("01", "00")}.items():  # labels that must be errors
        for file in sorted((root / split / source).rglob("*.png"))[:2]:
            (root / split / target / "p9").mkdir(exist_ok=True)
            Image.open(file).point(lambda value: value ^ 1).save(root / split / target / "p9" / file.name)
    config.data.root = str(root)
    config.data.size_px = (32, 32)
    config.data.batch_size = 16
    config.module.network.weights = None
    config.module.optimizer.lr = 2e-3
    config.trainer.epochs = 3
    config.trainer.accelerator = "cpu"
    config.profile = False
    return full_run(config, "resnet18_baseline", folder / "runs")


@pytest.fixture(scope="module")
def text(finished: RunFolder) -> str:
    return (finished.path / "report.md").read_text(encoding="utf-8").replace("\\_", "_")


@pytest.fixture(scope="module")
def root(finished: RunFolder) -> Path:
    return finished.path.parents[2] / "crops"


def table(text: str, first_cell: str) -> list[list[str]]:
    """Returns the rows below the header whose first cell is this one."""
    lines = text[text.index(f"\n| {first_cell} |") + 1 :].split("\n\n")[0].splitlines()
    return [line.strip("| ").split(" | ") for line in lines[2:]]


@pytest.fixture(scope="module", params=["csv", "onnx"])
def splits(request: pytest.FixtureRequest, finished: RunFolder, root: Path) -> dict[str, Split]:
    tables = {subset: from_csv(finished.path, subset) for subset in ("val", "test")}
    if request.param == "csv":
        return tables
    model = OnnxModel(finished.onnx)
    return {subset: from_onnx(model, root, split.files)[0] for subset, split in tables.items()}


def test_headline_and_metrics(splits: dict[str, Split], text: str) -> None:
    test = splits["test"]
    correct, crops = int(test.correct_N.sum()), int(test.legible_N.sum())
    assert 0 < correct < crops, "the figures of a run without errors or successes say little"
    assert f"Test accuracy {percent(correct / crops)} ({correct} / {crops})" in text
    shown = {name: cells for name, *cells in table(text, "metric")}
    for column, split in enumerate((splits["val"], test)):
        legible = split.legible_N
        labels, predicted = split.label_N[legible], split.predicted_N[legible]
        names = sorted(set(labels))
        recalls = [(predicted[labels == name] == name).mean() for name in names]
        expected = {
            "acc_top1": split.correct_N[legible].mean(),
            "acc_top5": (split.rank_N[legible] <= 5).mean(),
            "recall_macro": np.mean(recalls),
            "f1_macro": f1_score(labels, predicted, labels=names, average="macro", zero_division=0),
            "auroc_legible": roc_auc_score(legible, split.confidence_N),
        }
        assert {name: shown[name][column] for name in expected} == {n: percent(v) for n, v in expected.items()}
        assert float(shown["loss"][column]) == pytest.approx(split.loss_N[legible].mean(), abs=2e-4)
    assert set(shown) == {*expected, "loss", "auroc_macro"}


def test_macro_auroc_follows_from_the_onnx_file(finished: RunFolder, root: Path, text: str) -> None:
    model = OnnxModel(finished.onnx)
    for column, subset in enumerate(("val", "test")):
        split, p_NK = from_onnx(model, root, from_csv(finished.path, subset).files)
        legible = split.legible_N
        each = [
            roc_auc_score(split.label_N[legible] == name, p_NK[legible, k]) for k, name in enumerate(model.labels.names)
        ]
        shown = {name: cells for name, *cells in table(text, "metric")}["auroc_macro"][column]
        assert float(shown.split()[0]) == pytest.approx(100 * np.mean(each), abs=0.2)


def test_errors_and_worst_labels(splits: dict[str, Split], text: str) -> None:
    test = splits["test"]
    kinds: dict[str, int] = {}
    for label, predicted in zip(test.label_N[test.legible_N], test.predicted_N[test.legible_N], strict=True):
        if kind := error_type(label, predicted):
            kinds[kind] = kinds.get(kind, 0) + 1
    assert {kind: int(crops) for kind, crops, _ in table(text, "error type")} == kinds
    for label, crops, correct, *_ in table(text, "label"):
        is_label = test.label_N == label.strip('"')
        right = int(test.correct_N[is_label].sum())
        assert (int(crops), correct) == (is_label.sum(), f"{right} ({percent(right / is_label.sum())})")


def test_calibration_and_abstention(splits: dict[str, Split], finished: RunFolder, text: str) -> None:
    val, test, model = splits["val"], splits["test"], OnnxModel(finished.onnx)
    assert f"divided by {model.temperature:.3f}, fitted on {val.legible_N.sum()} validation crops" in text
    assert abs(model.temperature - 1) > 0.01, "a temperature of 1 cannot tell calibrated from raw confidences"
    stated = [float(value) for value in re.findall(r"is (\d\.\d{4}) \(|and (\d\.\d{4}) \(", text)[0][:1]]
    stated += [float(re.findall(r"scaling, and (\d\.\d{4}) \(", text)[0])]
    legible = test.legible_N
    computed = [ece(each[legible], test.correct_N[legible]) for each in (test.raw_N, test.confidence_N)]
    assert stated == pytest.approx(computed, abs=2e-3)
    rows = table(text, "precision target")
    assert len(rows) == len(model.thresholds) == 3
    for (target, shown, *cells), each in zip(rows, model.thresholds, strict=True):
        assert target == percent(each.precision)
        if each.confidence is None:
            assert shown == "not reached"
            continue
        assert shown == f"{each.confidence:.4f}"
        accepted = test.confidence_N >= each.confidence
        coverages = [(s.confidence_N[s.legible_N] >= each.confidence).mean() for s in (val, test)]
        expected = [*map(percent, coverages), percent(test.correct_N[accepted].mean()) if accepted.any() else "-"]
        assert cells == expected


def test_other_tables_have_the_confidences_of_the_predictions(finished: RunFolder) -> None:
    test = from_csv(finished.path, "test")
    confidence_of = dict(zip(test.files, test.confidence_N, strict=True))
    with (finished.path / "errors_test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == (~test.correct_N & test.legible_N).sum() > 0
    for row in rows:
        assert row["confidence"] == f"{confidence_of[row['file']]:.4f}"


def test_the_metadata_of_the_file_has_the_scores_of_the_report(finished: RunFolder, text: str) -> None:
    metadata = OnnxModel(finished.onnx).metadata
    for column, key in enumerate(("val_scores", "test_scores")):
        scores = json.loads(metadata[key])
        for name, *cells in table(text, "metric"):
            assert cells[column] == (f"{scores[name]:.4f}" if name == "loss" else percent(scores[name]))
