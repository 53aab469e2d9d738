"""Tables and images of evaluated splits: of the shared run, compared with its data, and of known predictions."""

import csv
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.looked_at import EPOCHS, LookedAt, Witness, every_callback
from helpers.small_run import small_data, small_module, trainer_in
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from jersey.callbacks.base import AfterEvaluation
from jersey.callbacks.tables import ConfusionMatrix, DigitErrors, PerClassTable, PredictionsTable
from jersey.compare.comparison import compare
from jersey.compare.runs import read_run
from jersey.core.labels import Labels
from jersey.evaluation.calibration import fit_temperature
from jersey.evaluation.digit_errors import ErrorType, error_type
from jersey.evaluation.metrics import Evaluation
from jersey.plots.matrices import confusion_matrix
from jersey.runs.state import RunState
from jersey.training.module import JerseyModule

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like
SUBSETS = pytest.mark.parametrize("subset", ["val", "test"])


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def calibrated(module: JerseyModule, subset: str) -> torch.Tensor:
    """Returns the probabilities at the temperature that the validation fits, float64 [N,K]."""
    val = module.evaluations["val"]
    temperature = fit_temperature(val.logits_NK.numpy(), val.labels_N.numpy())
    return (module.evaluations[subset].logits_NK.double() / temperature).softmax(dim=1)


def test_each_validation_of_a_fit_and_the_test_are_tracked_at_the_steps_of_the_metrics(looked_at: LookedAt) -> None:
    """The validation after the fit repeats an epoch, so it replaces the files but is not tracked."""
    fitted = [{"step": 3 * epoch + 2, "epoch": epoch, "subset": "val"} for epoch in range(EPOCHS)]
    tested = {"step": 3 * EPOCHS, "epoch": EPOCHS, "subset": "test"}
    for name in ("confusion_matrix", "digit_errors", "predictions"):
        assert looked_at.where(name) == [*fitted, tested], name
        latest = next(image for shown, image, _ in reversed(looked_at.recorder.images) if shown == name)
        assert Image.open(looked_at.folder / f"{name}_test.png").tobytes() == latest.tobytes(), name


def test_callbacks_add_no_forward_pass(looked_at: LookedAt) -> None:
    train, val = (len(looked_at.data.splits[split]) for split in ("train", "val"))
    assert looked_at.witness.crops == {True: EPOCHS * train, False: EPOCHS * val}


def test_other_ranks_write_nothing(crops_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    data = small_data(crops_root)
    module = small_module(data)
    trainer = trainer_in(tmp_path, module, *every_callback(Witness()), limit_batches=1)
    trainer.fit(module, datamodule=data)
    trainer.test(module, datamodule=data, verbose=False)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]  # all ranks contribute to checkpoints


@SUBSETS
def test_confusion_matrix_counts_the_collected_predictions(looked_at: LookedAt, subset: str) -> None:
    evaluation, names = looked_at.module.evaluations[subset], looked_at.data.labels.names
    counts_KK = torch.zeros(3, 3, dtype=torch.int64)
    for label, predicted in zip(evaluation.labels_N, evaluation.logits_NK.argmax(dim=1), strict=True):
        counts_KK[label, predicted] += 1
    image = Image.open(looked_at.folder / f"confusion_matrix_{subset}.png")
    assert image.tobytes() == confusion_matrix(counts_KK.numpy(), names, title=subset).tobytes()
    if subset == "test":
        rows = table(looked_at.folder / "confusion_matrix_test.csv")
        assert [row["label"] for row in rows] == list(names)
        assert [[int(row[name]) for name in names] for row in rows] == counts_KK.tolist()


@SUBSETS
def test_every_misclassified_crop_has_a_row_with_its_file(looked_at: LookedAt, subset: str) -> None:
    rows, split = table(looked_at.folder / f"errors_{subset}.csv"), looked_at.data.splits[subset]
    names = looked_at.data.labels.names
    probabilities_NK = calibrated(looked_at.module, subset)
    expected = {
        path.relative_to(looked_at.data.root).as_posix(): (label, names[int(p_K.argmax())], f"{p_K.max().item():.4f}")
        for path, label, p_K in zip(split.paths, split.labels, probabilities_NK, strict=True)
        if names[int(p_K.argmax())] != label
    }
    assert len(rows) == len(expected) > 0
    for row in rows:
        assert (row["label"], row["predicted"], row["confidence"]) == expected[row["file"]]
        assert row["error_type"] == error_type(row["label"], row["predicted"])
        assert Path(row["file"]).parent.name == row["label"], "the label is the name of the folder"
    confidences = [float(row["confidence"]) for row in rows]
    assert confidences == sorted(confidences, reverse=True)
    types = table(looked_at.folder / f"digit_errors_{subset}.csv")
    assert [row["error_type"] for row in types] == list(ErrorType)
    assert {row["error_type"]: int(row["crops"]) for row in types if row["crops"] != "0"} == Counter(
        row["error_type"] for row in rows
    )
    for row in types:
        assert float(row["fraction"]) == pytest.approx(int(row["crops"]) / len(split))
        assert bool(row["examples"]) == (row["crops"] != "0")


@SUBSETS
def test_every_crop_has_its_prediction_in_the_order_of_the_split(looked_at: LookedAt, subset: str) -> None:
    """The probabilities in the table are exact."""
    data, evaluation = looked_at.data, looked_at.module.evaluations[subset]
    rows, split = table(looked_at.folder / f"predictions_{subset}.csv"), data.splits[subset]
    assert [data.root / row["file"] for row in rows] == list(split.paths)
    assert [Path(row["file"]).parent.name for row in rows] == list(split.labels), "the label is the name of the folder"
    assert [row["label"] for row in rows] == list(split.labels)
    assert [int(row["size_bytes"]) for row in rows] == [len(path.read_bytes()) for path in split.paths]
    assert [row["predicted"] for row in rows] == [data.labels.names[k] for k in evaluation.logits_NK.argmax(dim=1)]
    assert looked_at.module.temperature != 1
    columns = calibrated(looked_at.module, subset), evaluation.logits_NK.double().softmax(dim=1), evaluation.labels_N
    for row, p_K, raw_p_K, k in zip(rows, *columns, strict=True):
        assert (float(row["confidence"]), float(row["label_probability"])) == (p_K.max(), p_K[k])
        assert float(row["uncalibrated_confidence"]) == raw_p_K.max()
        assert float(row["loss"]) == pytest.approx(-raw_p_K[k].log().item(), rel=1e-5, abs=1e-6)
        assert int(row["label_rank"]) == 1 + int((p_K > p_K[k]).sum())


def test_comparison_of_runs_has_the_scores_of_the_module(looked_at: LookedAt, tmp_path: Path) -> None:
    other, metrics = shutil.copytree(looked_at.folder, tmp_path / "other"), looked_at.module.evaluations["test"].metrics
    found = compare([read_run(looked_at.folder)], [read_run(other)], rare=0)
    for name, key in (("top-1", "acc_top1"), ("macro recall", "recall_macro")):
        assert found.gains[name].a_S.tolist() == found.gains[name].b_S.tolist() == pytest.approx([metrics[key]])


def evaluate(
    callback: AfterEvaluation, evaluation: Evaluation, names: tuple[str, ...], folder: Path, paths: tuple[Path, ...]
) -> list[dict[str, str]]:
    """Returns the newest table that the callback writes of a test with known predictions."""
    split = SimpleNamespace(paths=paths or [folder / str(row) for row in range(len(evaluation.labels_N))])
    trainer: Any = SimpleNamespace(
        default_root_dir=folder,
        datamodule=SimpleNamespace(root=folder, splits={"val": split, "test": split}),
        state=SimpleNamespace(fn=None),
        sanity_checking=True,
        global_step=0,
        max_epochs=1,
        current_epoch=0,
    )
    both = {"val": evaluation, "test": evaluation}
    module: Any = SimpleNamespace(labels=Labels(names), evaluations=both, run_state=RunState())
    callback.on_validation_end(trainer, module)  # the sanity check must not write anything
    assert not list(folder.glob("*.csv"))
    callback.on_test_end(trainer, module)
    return table(max(folder.glob("*.csv"), key=lambda path: path.stat().st_mtime_ns))


def test_per_class_table_has_the_expected_scores(tmp_path: Path) -> None:
    """There are three crops of "0", two correct and one predicted as "01"; and one of "00", predicted as "0"."""
    logits_NK = torch.tensor([[5.0, 0, 1, -9], [6, 0, 1, -9], [0, 1, 5, -9], [4, 2, 1, -9]])
    evaluation = Evaluation(logits_NK, torch.tensor([0, 0, 0, 1]), torch.arange(4))
    rows = evaluate(PerClassTable(), evaluation, ("0", "00", "01", "7"), tmp_path, ())
    columns = ("label", "support", "recall", "precision", "f1", "auroc")
    assert [tuple(row) for row in rows] == [columns] * 4
    # Two of the three pairs of a "0" and the "00" rank the "0" higher; the "00" ranks above all three.
    assert [[float(cell) if cell else None for cell in list(row.values())[1:]] for row in rows] == [
        [3, pytest.approx(2 / 3), pytest.approx(2 / 3), pytest.approx(2 * 2 / (3 + 3)), pytest.approx(2 / 3)],
        [1, 0, None, 0, 1],
        [0, None, 0, 0, None],
        [0, None, None, None, None],
    ]


def test_files_follow_the_rows_of_the_split_and_unusual_names_are_kept(tmp_path: Path) -> None:
    logits_NK = torch.tensor([[9.0, 0, 0], [0, 1, 3], [2, 5, 0]])
    evaluation = Evaluation(logits_NK, torch.tensor([0, 1, 2]), torch.tensor([2, 0, 1]))
    paths = (tmp_path / "тест" / 'no "0", ñ.png', tmp_path / "b.png", tmp_path / "c, d.png")
    paths[1].write_bytes(b"12345")
    rows = evaluate(PredictionsTable(), evaluation, ("0", "00", "Ж7"), tmp_path, paths)
    assert [[*list(row.values())[:4], row["label_rank"]] for row in rows] == [
        ['тест/no "0", ñ.png', "", "00", "Ж7", "2"],
        ["b.png", "5", "Ж7", "00", "3"],
        ["c, d.png", "", "0", "0", "1"],
    ]
    (tmp_path / "predictions_test.csv").unlink()
    evaluate(DigitErrors(), evaluation, ("0", "00", "Ж7"), tmp_path, paths)
    rows = table(tmp_path / "errors_test.csv")
    assert [(row["file"], row["label"], row["predicted"], row["error_type"]) for row in rows] == [
        ("b.png", "Ж7", "00", "other"),
        ('тест/no "0", ñ.png', "00", "Ж7", "other"),
    ]


def test_first_of_equal_logits_is_predicted_as_in_the_metrics(tmp_path: Path) -> None:
    evaluation = Evaluation(torch.zeros(2, 3), torch.tensor([0, 2]), torch.arange(2))
    rows = evaluate(PredictionsTable(), evaluation, ("0", "00", "7"), tmp_path, (tmp_path / "a", tmp_path / "b"))
    assert [(row["predicted"], row["label_rank"]) for row in rows] == [("0", "1"), ("0", "3")]
    assert evaluation.metrics["acc_top1"] == 0.5


def test_tables_without_errors_are_written(tmp_path: Path) -> None:
    evaluation = Evaluation(9 * torch.eye(2), torch.tensor([0, 1]), torch.tensor([0, 1]))
    for callback in (DigitErrors(), ConfusionMatrix()):
        folder = tmp_path / type(callback).__name__
        folder.mkdir()
        evaluate(callback, evaluation, ("0", "00"), folder, ())
    assert table(tmp_path / "DigitErrors" / "errors_test.csv") == []
    assert {row["crops"] for row in table(tmp_path / "DigitErrors" / "digit_errors_test.csv")} == {"0"}
