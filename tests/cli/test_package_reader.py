"""The command that makes the reader of the package: what it writes, and what it refuses without writing anything."""

import json
import sys
from pathlib import Path

import pytest
from helpers.exported import wide_model
from helpers.run_folders import config_folder

from jersey.cli import package_reader
from jersey.core import model_file
from jersey.core.model_file import READER
from jersey.inference import Prediction, Predictor
from jersey.recipes.resnet18_small import resnet18_small

pytestmark = pytest.mark.slow


@pytest.fixture
def run(crops_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run on crops elsewhere; the current folder holds its folder."""
    monkeypatch.chdir(tmp_path)
    config = resnet18_small()
    config.data.root = str(crops_root)
    folder = tmp_path / "run"
    folder.mkdir()
    wide_model(folder / "model.onnx")
    return config_folder(config, "resnet18_small", folder)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "reader.onnx"
    path.parent.mkdir()
    return path


def package(run: Path, out: Path, monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    monkeypatch.setattr(sys, "argv", ["package_reader", str(run), f"--out={out}", *flags])
    package_reader.main()


def test_the_file_has_the_predictions_of_the_run_and_the_line_its_size_and_agreement(
    run: Path, out: Path, crops_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package(run, out, monkeypatch)
    printed = json.loads(capsys.readouterr().out)
    crops = [path for split in ("val", "test") for path in (crops_root / split).rglob("*.jpg")]
    assert (printed["file"], printed["bytes"]) == (str(out), out.stat().st_size)
    assert (printed["crops"], printed["agreement"]) == (len(crops), 1)
    assert out.stat().st_size < 0.6 * (run / "model.onnx").stat().st_size
    for one, other in zip(*(Predictor(path).predict_all(crops) for path in (run / "model.onnx", out)), strict=True):
        assert isinstance(one, Prediction)
        assert isinstance(other, Prediction)
        assert abs(one.confidence - other.confidence) <= printed["max_difference"]
    for split in ("val", "test"):
        (run / split).mkdir()
        (run / split / "one.jpg").write_bytes(crops[0].read_bytes())
    package(run, out, monkeypatch, f"--root={run}")
    assert json.loads(capsys.readouterr().out)["crops"] == 2


@pytest.mark.parametrize(
    ("flags", "max_bytes", "offset", "words"),
    [
        (["--root=nowhere"], None, 0, "cannot list the folder nowhere"),
        (["--root=empty"], None, 0, "no image in val and test"),
        (["--out=nowhere/reader.onnx"], None, 0, "no folder nowhere"),
        ([], 1000, 0, "train a smaller network"),
        # Near 5,000 the weights of the head are rounded to multiples of 4, so that all numbers become equal.
        ([], None, 5000, "the same likeliest number on"),
    ],
)
def test_what_is_refused_is_one_sentence_and_the_old_file_stays(
    run: Path,
    out: Path,
    flags: list[str],
    max_bytes: int | None,
    offset: float,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = wide_model(out, seed=1).read_bytes()
    for split in ("val", "test"):
        Path("empty", split).mkdir(parents=True)
    wide_model(run / "model.onnx", offset=offset)
    monkeypatch.setattr(package_reader, "MAX_BYTES", max_bytes or package_reader.MAX_BYTES)
    with pytest.raises(SystemExit) as ended:
        package(run, out, monkeypatch, *flags)
    assert ended.value.code == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert words in sentence
    assert out.read_bytes() == old
    assert [path.name for path in out.parent.iterdir()] == ["reader.onnx"]


@pytest.mark.parametrize("is_default", [False, True])
def test_a_model_is_not_replaced_by_one_of_other_labels_and_the_advised_file_is_written(
    run: Path,
    out: Path,
    is_default: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if is_default:
        out = Path("jersey/inference/reader.onnx")
        out.parent.mkdir(parents=True)
    out.write_bytes(READER.read_bytes())
    flags = [] if is_default else [f"--out={out}"]
    monkeypatch.setattr(sys, "argv", ["package_reader", str(run), *flags])
    with pytest.raises(SystemExit) as ended:
        package_reader.main()
    (sentence,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert "is a model of 101 labels, and" in sentence
    assert "the 5 labels of " in sentence
    assert out.read_bytes() == READER.read_bytes()
    monkeypatch.setattr(sys, "argv", ["package_reader", str(run), sentence.rpartition(" ")[2]])
    package_reader.main()
    assert Predictor("run.onnx").numbers == Predictor(run / "model.onnx").numbers


def test_a_lost_reader_is_restored_before_it_is_replaced(
    run: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (model_file, package_reader):
        monkeypatch.setattr(module, "READER", out)
    with pytest.raises(SystemExit):
        package(run, out, monkeypatch)
    assert "install jersey again" in capsys.readouterr().err
    assert not out.exists()
