"""The callback in a real fit and test, its tables held against the files and what the module said of them."""

import csv
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.real_fit import Recorder, data_of, module_of, trainer_in
from PIL import Image

from jersey.callbacks.tables import DigitErrors
from jersey.core.labels import Labels
from jersey.evaluation.digit_errors import ErrorType, error_type
from jersey.evaluation.metrics import Evaluation
from jersey.runs.state import RunState


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def fitted(crops_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("run")
    recorder, data = Recorder(folder), data_of(crops_root)
    module = module_of(data)
    trainer = trainer_in(folder, module, DigitErrors(), recorder=recorder, epochs=2)
    trainer.fit(module, datamodule=data)
    trainer.test(module, datamodule=data, verbose=False)
    return folder, data, module, recorder


@pytest.mark.parametrize("subset", ["val", "test"])
def test_every_misread_crop_has_a_row_that_names_its_file(fitted: Any, subset: str) -> None:
    folder, data, module, _ = fitted
    rows = table(folder / f"mistakes_{subset}.csv")
    evaluation, split = module.evaluations[subset], data.splits[subset]
    probabilities_NK, names = evaluation.logits_NK.double().softmax(dim=1), data.labels.names
    expected = {
        str(path): (label, names[int(p_K.argmax())], p_K.max().item())
        for path, label, p_K in zip(split.paths, split.labels, probabilities_NK, strict=True)
        if names[int(p_K.argmax())] != label
    }
    assert len(rows) == len(expected) > 0
    for row in rows:
        true, read, confidence = expected[row["file"]]
        assert (row["true number"], row["read as"]) == (true, read)
        assert float(row["confidence"]) == pytest.approx(confidence, abs=1e-4)
        assert row["error"] == error_type(true, read)
        assert Path(row["file"]).parent.name == true, "as the file's folder says"
    confidences = [float(row["confidence"]) for row in rows]
    assert confidences == sorted(confidences, reverse=True)


@pytest.mark.parametrize("subset", ["val", "test"])
def test_types_count_the_rows_of_mistakes(fitted: Any, subset: str) -> None:
    folder, data, _, _ = fitted
    counted = Counter(row["error"] for row in table(folder / f"mistakes_{subset}.csv"))
    types = table(folder / f"digit_errors_{subset}.csv")
    assert [row["type"] for row in types] == list(ErrorType)
    assert {row["type"]: int(row["count"]) for row in types if row["count"] != "0"} == counted
    for row in types:
        assert float(row["share"]) == pytest.approx(int(row["count"]) / len(data.splits[subset]))
        assert bool(row["examples"]) == (row["count"] != "0")


def test_the_picture_of_each_epoch_and_of_the_test_is_tracked_and_the_last_is_kept(fitted: Any) -> None:
    folder, _, _, recorder = fitted
    where = [(name, kept["subset"], kept["epoch"]) for name, _, kept in recorder.images]
    assert where[:2] == [("digit_errors", "val", 0), ("digit_errors", "val", 1)]
    assert [entry[:2] for entry in where[2:]] == [("digit_errors", "test")]
    for index, subset in ((1, "val"), (2, "test")):
        assert Image.open(folder / f"digit_errors_{subset}.png").tobytes() == recorder.images[index][1].tobytes()


def evaluate(evaluation: Evaluation, labels: tuple[str, ...], *, folder: Path, paths: list[Path]) -> None:
    module: Any = SimpleNamespace(labels=Labels(labels), evaluations={"test": evaluation}, run_state=RunState())
    trainer = trainer_in(folder, module, epochs=1)
    trainer.datamodule = SimpleNamespace(splits={"test": SimpleNamespace(paths=paths)})  # type: ignore[attr-defined]
    DigitErrors().on_test_end(trainer, module)


def test_files_are_found_by_their_rows_in_the_split_and_odd_labels_and_names_are_kept(tmp_path: Path) -> None:
    logits_NK = torch.tensor([[9.0, 0, 0, 0], [0, 0, 0, 7], [0, 5, 0, 0]])
    evaluation = Evaluation(logits_NK, torch.tensor([1, 2, 1]), torch.tensor([2, 0, 1]))
    paths = [tmp_path / "тест" / 'no "0", ñ.png', tmp_path / "b.png", tmp_path / "c, d.png"]
    evaluate(evaluation, ("A7", "23", "00", "0"), folder=tmp_path, paths=paths)
    rows = table(tmp_path / "mistakes_test.csv")
    assert [(row["file"], row["true number"], row["read as"], row["error"]) for row in rows] == [
        (str(paths[2]), "23", "A7", "other"),
        (str(paths[0]), "00", "0", "0 against 00"),
    ]


def test_without_a_mistake_the_files_are_there_and_say_so(tmp_path: Path) -> None:
    evaluation = Evaluation(9 * torch.eye(2), torch.tensor([0, 1]), torch.tensor([0, 1]))
    evaluate(evaluation, ("0", "00"), folder=tmp_path, paths=[])
    assert table(tmp_path / "mistakes_test.csv") == []
    assert {row["count"] for row in table(tmp_path / "digit_errors_test.csv")} == {"0"}
    assert (tmp_path / "digit_errors_test.png").exists()
