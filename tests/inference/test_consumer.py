"""The documented programs without jersey, in Python and C++, have the predictions and abstentions of the predictor."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from helpers.exported import tiny_model
from helpers.pages import BLOCKS
from helpers.planted_model import LABELS, STEP, planted_model
from PIL import Image

from jersey.inference import Predictor

(PROGRAM,) = (text for kind, text in BLOCKS if kind == "python" and "onnxruntime" in text)
(CPP_PROGRAM,) = (text for kind, text in BLOCKS if kind == "cpp")
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


@pytest.fixture(scope="module")
def cpp_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiles the C++ program with the library of the Python package."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("there is no g++")
    folder = tmp_path_factory.mktemp("cpp")
    (folder / "read_crop.cpp").write_text(CPP_PROGRAM, encoding="utf-8")
    options = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-I/usr/include/onnxruntime", "read_crop.cpp"]
    headers = subprocess.run([compiler, *options, "-M"], cwd=folder, capture_output=True, text=True, check=False)
    if headers.returncode:
        pytest.skip(f"a header is missing: {headers.stderr.splitlines()[0]}")
    libraries = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    if not libraries:
        pytest.skip("the Python package of onnxruntime has no library to link")
    (folder / "libonnxruntime.so.1").symlink_to(libraries[0])
    link = [str(libraries[0]), f"-Wl,-rpath,{libraries[0].parent}:{folder}", "-o", "read_crop"]
    done = subprocess.run([compiler, *options, *link], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "read_crop"


def printed_by_cpp(program: Path, folder: Path) -> dict[str, list[str]]:
    """Runs the C++ program on the raw pixels of each crop; returns the words that it prints."""
    words = {}
    for path in sorted(folder.glob("*.png")):
        image = Image.open(path).convert("RGB")
        (folder / "raw").write_bytes(image.tobytes())
        command = [str(program), "raw", str(image.height), str(image.width)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("raw ")
        words[path.name] = done.stdout.split()[1:]
    (folder / "raw").unlink()
    return words


@pytest.mark.slow
def test_the_cpp_program_prints_what_the_python_program_prints(cpp_program: Path, folder: Path) -> None:
    planted_model(folder / "model.onnx")
    planted = printed_by_cpp(cpp_program, folder)
    assert planted == printed(folder)
    assert 10 < sum(len(words) > 2 for words in planted.values()) < len(planted) - 10
    tiny_model(folder)
    exported = printed_by_cpp(cpp_program, folder)
    assert exported == printed(folder)
    assert len({tuple(words) for words in exported.values()}) > 10


@pytest.mark.slow
def test_the_cpp_program_abstains_and_refuses_a_wrong_size(cpp_program: Path, folder: Path) -> None:
    planted_model(folder / "model.onnx", thresholds=json.dumps([{"precision": PRECISION, "confidence": None}]))
    assert all(words[2:] == ["abstains"] for words in printed_by_cpp(cpp_program, folder).values())
    (folder / "raw").write_bytes(bytes(3 * 8 * 5 + 1))
    done = subprocess.run([str(cpp_program), "raw", "8", "5"], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
