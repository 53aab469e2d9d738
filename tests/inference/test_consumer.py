"""The documented program without jersey has the predictions and abstentions of the predictor."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.pages import BLOCKS
from helpers.planted_model import LABELS, STEP, planted_model
from PIL import Image

from jersey.inference import Predictor

(PROGRAM,) = (text for kind, text in BLOCKS if kind == "python" and "onnxruntime" in text)
PRECISION = 0.98  # as the program requests


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Crops of many sizes, kinds and numbers."""
    rng = np.random.default_rng(0)
    for index in range(60):
        pixels_hw3 = rng.integers(0, 256, (rng.integers(9, 40), rng.integers(9, 40), 3), dtype=np.uint8)
        pixels_hw3[..., 0] = rng.integers(0, STEP * len(LABELS)) + pixels_hw3[..., 0] // 128
        pixels_hw3[..., 1] = rng.integers(20, 256)
        kind = "P" if index % 5 == 0 else "L" if index % 7 == 0 else "RGB"
        Image.fromarray(pixels_hw3).convert(kind).save(tmp_path / f"{index:02}.png")
    return tmp_path


def printed(folder: Path) -> dict[str, list[str]]:
    """Runs the program in its own process; returns the words that it prints for each crop."""
    crops = sorted(path.name for path in folder.iterdir() if path.suffix != ".onnx")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *crops], cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split(maxsplit=3) for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == crops
    return {line[0]: line[1:] for line in lines}


def test_the_program_is_short_and_needs_no_jersey() -> None:
    assert len(PROGRAM.splitlines()) <= 15
    assert "jersey" not in PROGRAM
    assert "torch" not in PROGRAM


def test_the_program_has_the_predictions_and_abstentions_of_the_predictor(folder: Path) -> None:
    model = planted_model(folder / "model.onnx")
    always, careful = Predictor(model), Predictor(model, min_precision=PRECISION)
    predictions = {path.name: prediction for path, prediction in always.predict_folder(folder)}
    abstained = {path.name for path, prediction in careful.predict_folder(folder) if prediction.number is None}
    assert {prediction.number for prediction in predictions.values()} == set(LABELS)
    assert 10 < len(abstained) < len(predictions) - 10
    words_of = printed(folder)
    assert {name: words[:2] for name, words in words_of.items()} == {
        name: [prediction.number, f"{prediction.confidence:.3f}"] for name, prediction in predictions.items()
    }
    assert {name for name, words in words_of.items() if len(words) > 2} == abstained


def test_the_program_always_abstains_if_no_confidence_reaches_the_precision(folder: Path) -> None:
    thresholds = json.dumps([{"precision": 0.95, "confidence": 0.1}, {"precision": PRECISION, "confidence": None}])
    planted_model(folder / "model.onnx", thresholds=thresholds)
    assert all(len(words) > 2 for words in printed(folder).values())
