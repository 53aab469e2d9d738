"""The wheel holds the library only; installed with [inference] in its own environment it predicts without torch."""

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.exported import tiny_model
from helpers.installed import built_wheel, output_of, uv
from helpers.repository import REPOSITORY
from PIL import Image

from jersey.core.model_file import READER
from jersey.inference import Prediction, Predictor

PROGRAM = """
import importlib.util, json, sys
from jersey.inference import Predictor
assert importlib.util.find_spec("torch") is None
assert Predictor().predict("crops/00.png").number in Predictor().numbers
predictions = [each for _, each in Predictor(sys.argv[1], open_vocabulary=True).predict_folder(sys.argv[2])]
print(json.dumps([[each.number, each.confidence, each.top_k, each.unseen] for each in predictions]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network as a file, and crops of several sizes and formats."""
    folder = tmp_path_factory.mktemp("network")
    tiny_model(folder)
    rng = np.random.default_rng(0)
    for row in range(24):
        path = folder / "crops" / f"{row:02d}.{('png', 'jpg', 'bmp')[row % 3]}"
        path.parent.mkdir(exist_ok=True)
        blocks = rng.integers(0, 256, (3, 2 + row % 2, 3), dtype=np.uint8)
        Image.fromarray(np.kron(blocks, np.ones((10, 9, 1), np.uint8))).save(path)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.mark.slow
def test_the_wheel_holds_the_library_and_the_reader_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    library = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "jersey").rglob("*.py")}
    packed = {name for name in names if ".dist-info/" not in name}
    assert not [name for name in names if not name.startswith("jersey")]
    others = {"jersey/py.typed", READER.relative_to(REPOSITORY).as_posix()}
    assert packed == {name for name in library if not name.startswith("jersey/bench/")} | others
    (sdist,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(sdist) as files:
        assert sum(name.endswith("/jersey/inference/reader.onnx") for name in files.getnames()) == 1


@pytest.mark.slow
def test_predictions_are_the_same_in_an_environment_without_torch(wheel: Path, folder: Path, tmp_path: Path) -> None:
    python = tmp_path / "environment" / "bin" / "python"
    output_of(uv(), "venv", "--quiet", "--python", sys.executable, str(tmp_path / "environment"))
    # In the repository uv takes the versions that are pinned there.
    output_of(uv(), "pip", "install", "--quiet", "--python", str(python), f"{wheel}[inference]", cwd=REPOSITORY)
    command = subprocess.run([python.with_name("jersey"), "--list"], capture_output=True, text=True, check=False)
    assert (command.returncode, "jersey[train]" in command.stderr) == (2, True)
    here = [
        prediction
        for _, prediction in Predictor(folder / "model.onnx", open_vocabulary=True).predict_folder(folder / "crops")
    ]
    assert all(isinstance(prediction, Prediction) for prediction in here)
    there = json.loads(output_of(str(python), "-c", PROGRAM, "model.onnx", "crops", cwd=folder))
    words = ["-m", "jersey.inference", "model.onnx", "crops", "--open_vocabulary"]
    rows = [json.loads(line) for line in output_of(str(python), *words, cwd=folder).splitlines()]
    table = output_of(str(python), "-m", "jersey.inference", "crops", "--format=table", cwd=folder)
    assert len(table.splitlines()) == 1 + len(here)
    for prediction, (number, confidence, top_k, unseen), row in zip(here, there, rows, strict=True):
        assert number == row["number"] == prediction.number
        assert confidence == pytest.approx(prediction.confidence, abs=1e-5)
        assert row["confidence"] == pytest.approx(prediction.confidence, abs=1e-5)
        assert dict(top_k) == pytest.approx(dict(prediction.top_k), abs=1e-5)
        assert unseen == row["unseen"] == prediction.unseen
