"""The wheel holds the library only; installed with [inference] in its own environment it predicts without torch."""

import json
import re
import subprocess
import sys
import tarfile
import tomllib
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

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OLDEST = [
    f"{found[1]}=={found[2]}"
    for each in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["inference"]]
    if (found := re.match(r"([\w-]+)>=([\d.]+)", each))
]
"""The lower bounds of the predictor's packages, as exact versions."""

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


def test_the_oldest_packages_are_stated() -> None:
    assert {"numpy", "onnxruntime", "pillow"} <= {pin.partition("==")[0] for pin in OLDEST}


@pytest.mark.slow
@pytest.mark.parametrize("packages", ["pinned", "oldest"])
def test_predictions_are_the_same_in_an_environment_without_torch(
    packages: str, wheel: Path, folder: Path, tmp_path: Path
) -> None:
    python = tmp_path / "environment" / "bin" / "python"
    output_of(uv(), "venv", "--quiet", "--python", sys.executable, str(tmp_path / "environment"))
    # In the repository uv takes the versions that are pinned there.
    pins, cwd = ([], REPOSITORY) if packages == "pinned" else (["--only-binary=:all:", *OLDEST], tmp_path)
    output_of(uv(), "pip", "install", "--quiet", "--python", str(python), f"{wheel}[inference]", *pins, cwd=cwd)
    # Other versions of Pillow decode JPEG files a little differently.
    tolerance = 1e-5 if packages == "pinned" else 1e-2
    command = subprocess.run([python.with_name("jersey"), "--list"], capture_output=True, text=True, check=False)
    assert (command.returncode, "jersey[train]" in command.stderr) == (2, True)
    here = [
        prediction
        for _, prediction in Predictor(folder / "model.onnx", open_vocabulary=True).predict_folder(folder / "crops")
    ]
    assert all(isinstance(prediction, Prediction) for prediction in here)
    there = json.loads(output_of(str(python), "-c", PROGRAM, "model.onnx", "crops", cwd=folder))
    read = str(python.with_name("jersey-read"))
    rows = [
        json.loads(line)
        for line in output_of(read, "model.onnx", "crops", "--open_vocabulary", cwd=folder).splitlines()
    ]
    table = output_of(str(python), "-m", "jersey.inference", "crops", "--format=table", cwd=folder)
    assert len(table.splitlines()) == 1 + len(here)
    for prediction, (number, confidence, top_k, unseen), row in zip(here, there, rows, strict=True):
        assert number == row["number"] == prediction.number
        assert confidence == pytest.approx(prediction.confidence, abs=tolerance)
        assert row["confidence"] == pytest.approx(prediction.confidence, abs=tolerance)
        assert dict(top_k) == pytest.approx(dict(prediction.top_k), abs=tolerance)
        assert unseen == row["unseen"] == prediction.unseen


@pytest.mark.slow
def test_without_the_extra_the_command_says_what_to_install(wheel: Path, folder: Path, tmp_path: Path) -> None:
    python = tmp_path / "environment" / "bin" / "python"
    output_of(uv(), "venv", "--quiet", "--python", sys.executable, str(tmp_path / "environment"))
    install = [uv(), "pip", "install", "--quiet", "--python", str(python)]
    output_of(*install, str(wheel), cwd=REPOSITORY)
    command = [python.with_name("jersey-read"), "crops"]
    refused = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2
    advice = re.fullmatch(
        r"error: the package onnxruntime is not installed; run `pip (install \S+)`, .*\n", refused.stderr
    )
    assert advice, refused.stderr
    output_of(*install, *advice[1].split()[1:], cwd=REPOSITORY)
    assert len(output_of(*map(str, command), cwd=folder).splitlines()) == len(list((folder / "crops").iterdir()))


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.12"])
def test_the_oldest_packages_have_wheels_for_every_version_of_python(version: str, tmp_path: Path) -> None:
    (tmp_path / "oldest.txt").write_text("\n".join(OLDEST), encoding="utf-8")
    words = ["pip", "compile", "--quiet", "--only-binary=:all:", "--no-deps", f"--python-version={version}"]
    output_of(uv(), *words, "oldest.txt", cwd=tmp_path)
