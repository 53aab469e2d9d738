"""Comparison of runtimes: differences are found and reported, and the real runtimes are equal."""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.exported import tiny_model
from PIL import Image
from robustness import runtime_parity
from robustness.runtime_parity import compared, compared_pixels, crops_in, measure, table
from robustness.runtimes import (
    RuntimeOutput,
    Unavailable,
    in_onnxruntime,
    in_onnxruntime_web,
    in_opencv,
    onnxruntime_web,
)

Runtime = Callable[[Path, Sequence[np.ndarray]], RuntimeOutput]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Exports two files of different networks."""
    return tiny_model(tmp_path_factory.mktemp("model")), tiny_model(tmp_path_factory.mktemp("other"), seed=1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Creates crops of many sizes, larger and smaller than the network's input."""
    folder, rng = tmp_path_factory.mktemp("crops"), np.random.default_rng(0)
    for index in range(30):
        pixels_hw3 = rng.integers(0, 256, (rng.integers(9, 120), rng.integers(9, 90), 3), dtype=np.uint8)
        Image.fromarray(pixels_hw3).save(folder / f"{index:02}.png")
    return crops_in(folder, 30)


def test_differences_and_other_predictions_are_counted_by_crop() -> None:
    reference_NK = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert compared(RuntimeOutput("a", reference_NK + np.float32(5e-5)), reference_NK)["same"]
    far = compared(RuntimeOutput("a", reference_NK + np.array([[0, 2], [0, 0.5], [0, 0]], np.float32)), reference_NK)
    assert (far["crops"], far["max_logit_difference"], far["other_top1"], far["same"]) == (3, 2.0, 1, False)
    assert far["mean_logit_difference"] == pytest.approx(2.5 / 3)
    assert not compared(RuntimeOutput("a", reference_NK * np.float32(np.nan)), reference_NK)["same"]


def test_pixels_are_compared_file_by_file() -> None:
    black = np.zeros((2, 5, 3), np.uint8)
    other = black.copy()
    other[0, 0] = [0, 3, 255]
    found = compared_pixels([black, black], [black, other])
    assert found == {"files": 2, "same_files": 1, "differing": pytest.approx(2 / 60), "largest": 255}


def test_another_network_is_not_equal_and_a_missing_runtime_has_its_reason(
    models: tuple[Path, Path], files: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, other = models

    def absent(path: Path, crops_hw3: Sequence[np.ndarray]) -> RuntimeOutput:
        raise Unavailable("there is none")

    wrong = {"wrong": lambda _, crops_hw3: in_onnxruntime(other, crops_hw3), "absent": absent}
    outcome = measure(model, files, wrong)
    assert not outcome["passed"]
    assert outcome["runtimes"]["absent"] == "there is none"
    assert "NOT EQUAL" in table(outcome)
    assert measure(model, files, {"same": in_onnxruntime})["passed"]
    assert not measure(model, files, {"absent": absent})["passed"]  # no runtime was compared

    monkeypatch.setattr(runtime_parity, "measure", lambda *_: outcome)
    monkeypatch.setattr(sys, "argv", ["runtime_parity", str(model), str(files[0].parent)])
    assert runtime_parity.main() == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["passed"] is False


def test_crops_are_spread_over_the_folder(files: list[Path]) -> None:
    some = crops_in(files[0].parent, 4)
    assert len(set(some)) == 4
    assert (some[0], some[-1]) == (files[0], files[-1])


def test_a_folder_without_crops_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["runtime_parity", "model.onnx", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        runtime_parity.main()
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_differences_of_the_decoder_are_reported(models: tuple[Path, Path], tmp_path: Path) -> None:
    """OpenCV drops transparency, below which any color may be; jersey composes such a crop over black."""
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    Image.new("RGBA", (40, 30), (200, 100, 50, 0)).save(tmp_path / "clear.png")
    Image.new("RGB", (40, 30), (200, 100, 50)).save(tmp_path / "solid.png")
    outcome = measure(models[0], crops_in(tmp_path, 2), {"same": in_onnxruntime})
    assert outcome["pixels"] == {"files": 2, "same_files": 1, "differing": 0.5, "largest": 200}
    assert outcome["decoded"]["max_logit_difference"] > 0.001


@pytest.fixture(params=[in_onnxruntime_web, in_opencv])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    if request.param is in_opencv:
        cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
        if int(cv2.__version__.partition(".")[0]) < 5:
            pytest.skip("OpenCV 4 cannot load a file for any size")
        return request.param
    if shutil.which("node") is None:
        pytest.skip("there is no Node.js")
    try:
        onnxruntime_web()
    except Unavailable as error:
        pytest.skip(str(error))
    return request.param


@pytest.mark.slow
def test_other_runtimes_have_equal_outputs(runtime: Runtime, models: tuple[Path, Path], files: list[Path]) -> None:
    model, other = models
    same = measure(model, files, {"it": runtime})["runtimes"]["it"]
    assert same["same"], same
    assert same["crops"] == 30
    assert not measure(model, files, {"it": lambda _, crops_hw3: runtime(other, crops_hw3)})["passed"]


@pytest.mark.slow
def test_a_file_that_a_runtime_cannot_load_has_its_reason(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model at all")
    with pytest.raises(Unavailable, match=r"\w+ .*(cannot load the file|has failed): .+"):
        runtime(tmp_path / "model.onnx", [np.zeros((5, 5, 3), np.uint8)])
