"""The bench of the predictor: the share from times that are known, and real times of a small model."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.exported import tiny_model
from PIL import Image

from jersey.bench import predictor
from jersey.bench.predictor import as_json, files_of_one_size, measure, own_share


def times_s(arrays: float) -> dict[str, list[float]]:
    return {"plain": [0.8, 1.6, 0.8], "arrays": [arrays, 2 * arrays, arrays], "files": [2.0, 2.0, 2.0]}


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Three of one size and one of another."""
    folder = tmp_path / "crops"
    folder.mkdir()
    for index, size_px in enumerate([(20, 30), (40, 30), (20, 30), (20, 30)]):
        Image.fromarray(np.full((*size_px[::-1], 3), 40 * index, np.uint8)).save(folder / f"{index}.png")
    return folder


def test_the_share_is_what_is_not_plain() -> None:
    assert own_share(times_s(1.0)) == pytest.approx(0.2)
    facts = as_json({64: times_s(1.0)})["batch 64"]
    assert facts["own_share"] == 0.2
    assert facts["files"]["speed"] == 0.4


@pytest.mark.parametrize(("arrays", "code"), [(0.9, 0), (1.0, 1)])
def test_too_large_a_share_of_the_largest_batch_is_exit_code_1(
    arrays: float, code: int, crops: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(predictor, "measure", lambda *_: {1: times_s(4.0), 64: times_s(arrays)})
    monkeypatch.setattr(sys, "argv", ["predictor", "model.onnx", str(crops)])
    assert predictor.main() == code
    assert "batch 64" in json.loads(capsys.readouterr().out.splitlines()[-1])


def test_crops_have_the_most_common_size(crops: Path) -> None:
    assert [path.name for path in files_of_one_size(crops)] == ["0.png", "2.png", "3.png"]


def test_every_way_is_timed_at_every_batch_size(crops: Path, tmp_path: Path) -> None:
    by_batch = measure(tiny_model(tmp_path), files_of_one_size(crops), {1: 2, 5: 3})
    assert {batch: len(times["files"]) for batch, times in by_batch.items()} == {1: 2, 5: 3}
    for times in by_batch.values():
        assert list(times) == ["plain", "arrays", "files"]
        assert all(value > 0 for values in times.values() for value in values)


def test_a_folder_without_crops_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["predictor", "model.onnx", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        predictor.main()
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
