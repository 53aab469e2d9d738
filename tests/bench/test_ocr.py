"""The comparison with OCR packages: known answers are counted, and the packages read clearly printed numbers."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.planted_model import file_of, planted_model
from PIL import Image, ImageDraw, ImageFont

from jersey.bench import ocr
from jersey.core.errors import UserError
from jersey.data.decode import decode
from jersey.evaluation.calibration import wilson_interval
from jersey.inference import Predictor

PACKAGES = ("rapidocr", "rapidocr_onnxruntime", "ddddocr")
CERTAINTY = 40


def data_set(root: Path, write: Callable[[Path, str], Any], numbers: tuple[str, ...], *, each: int) -> Path:
    """Writes `each` crops of every number, and an illegible one, to all splits."""
    for split in ("train", "val", "test"):
        for number in (*numbers, "illegible"):
            for index in range(each):
                path = root / split / number / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                write(path, number)
    return root


def planted(path: Path, number: str) -> None:
    file_of(path, "0" if number == "illegible" else number, certainty=CERTAINTY)


def printed(path: Path, number: str) -> None:
    image = Image.new("RGB", (120, 96), (20, 40, 120))
    draw = ImageDraw.Draw(image)
    draw.text((60, 48), number, (255, 255, 255), font=ImageFont.load_default(64), anchor="mm")
    image.save(path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return planted_model(tmp_path / "model.onnx")


def test_answers_are_counted_and_illegible_crops_are_left_out(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One candidate is the real predictor, one always answers 23 in words."""
    predictor = Predictor(model)
    candidates = {
        "jersey": lambda crop_hw3: predictor.predict(crop_hw3).number or "",
        "other": lambda crop_hw3: "No. 2-3",
    }
    monkeypatch.setattr(ocr, "readers", lambda path: candidates)
    root = data_set(tmp_path / "crops", planted, ("0", "00", "23"), each=10)
    for every, crops, correct in ((1, 30, 10), (4, 8, 3)):
        measured = ocr.measure(model, root, every)
        assert measured["crops"] == crops
        assert measured["accuracy"]["jersey"]["accuracy"] == 1
        low, high = wilson_interval(correct, crops)
        expected = {"accuracy": correct / crops, "low": low, "high": high}
        assert measured["accuracy"]["other"] == pytest.approx(expected, abs=1e-4)
        assert f"{correct} / {crops}" in capsys.readouterr().out


def test_every_candidate_reads_every_crop_in_order_and_takes_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    crops = [np.full((2, 2, 3), value, dtype=np.uint8) for value in range(5)]
    calls: list[str] = []

    def reader(name: str) -> ocr.Reader:
        def read(crop_hw3: np.ndarray) -> str:
            calls.append(name)
            return str(crop_hw3[0, 0, 0])

        return read

    monkeypatch.setattr(ocr, "CROPS_PER_TURN", 2)
    texts, times_s = ocr.read_all({name: reader(name) for name in "ab"}, crops)
    assert texts == {name: ["0", "1", "2", "3", "4"] for name in "ab"}
    assert "".join(calls) == "aaa" + "bbb" + "bbb" + "aaa" + "aa" + "bb"  # the first call of a turn warms up
    assert {len(values) for values in times_s.values()} == {3}


@pytest.mark.filterwarnings("ignore")  # those of the packages
@pytest.mark.parametrize("package", PACKAGES)
def test_a_missing_package_is_one_sentence(model: Path, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match="is not installed; run `uv sync --group bench`"):
        ocr.readers(model)


def test_a_data_set_without_numbers_or_an_impossible_step_is_rejected(model: Path, tmp_path: Path) -> None:
    root = data_set(tmp_path / "crops", printed, ("A", "7"), each=1)
    with pytest.raises(UserError, match="--every=1 leaves 1 test crops of a number"):
        ocr.measure(model, root)
    with pytest.raises(UserError, match="--every=0"):
        ocr.measure(model, root, 0)


@pytest.mark.filterwarnings("ignore")  # those of the packages
def test_packages_read_printed_numbers(model: Path, tmp_path: Path) -> None:
    for package in PACKAGES:
        pytest.importorskip(package, reason=f"{package} is not installed: `uv sync --group bench`")
    root = data_set(tmp_path / "crops", printed, ("10", "23"), each=2)
    crop_hw3 = decode(root / "test" / "23" / "0.png")
    found = {name: ocr.digits_of(read(crop_hw3)) for name, read in ocr.readers(model).items()}
    assert found.pop("jersey") == Predictor(model).predict(crop_hw3).number
    assert found == dict.fromkeys(found, "23")
    assert len(found) == 3
    measured = ocr.measure(model, root)
    assert measured["accuracy"].keys() == measured["speeds"].keys() == {"jersey", *found}
    assert all(each["median_ms"] > 0 for each in measured["speeds"].values())
