"""The reader in the package: the file itself, and how it is found if no model is named."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.planted_model import crop_of, file_of, planted_model

from jersey.cli.package_reader import MAX_BYTES
from jersey.core import model_file
from jersey.core.errors import UserError, exit_on_user_error
from jersey.core.model_file import READER
from jersey.inference import Predictor, predictor
from jersey.inference.__main__ import main
from jersey.recipes.reader import NUMBERS
from jersey.synth.crop import render_crop
from jersey.synth.typefaces import TRAIN


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another file in the place of the reader."""
    (tmp_path / "jersey" / "inference").mkdir(parents=True)
    path = planted_model(tmp_path / "jersey" / "inference" / "reader.onnx")
    for module in (model_file, predictor):
        monkeypatch.setattr(module, "READER", path)
    return path


def test_the_file_in_the_package_is_small_and_reads_every_number() -> None:
    assert READER.stat().st_size <= MAX_BYTES
    reader = Predictor(threads=1, min_precision=0.95)
    assert sorted(reader.numbers) == sorted(NUMBERS)
    assert Predictor(open_vocabulary=True).numbers
    rng = np.random.default_rng(0)
    crops = [render_crop(number, rng=rng, typefaces=TRAIN, size_px=96).image_HW3 for number in NUMBERS]
    predictions = list(Predictor(threads=1).predict_all(crops))
    assert sum(each.number == number for each, number in zip(predictions, NUMBERS, strict=True)) > 0.5 * len(NUMBERS)


def test_it_is_used_if_no_model_is_named(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Predictor().model.path == planted
    assert Predictor(min_precision=0.95, top_k=1).predict(crop_of("23")).number == "23"
    file_of(tmp_path / "crop.png", "10")
    other = planted_model(tmp_path / "other.onnx", labels=("1", "2", "3", "4", "5"))
    for model, number in (([], "10"), ([str(other)], "4")):
        monkeypatch.setattr(sys, "argv", ["jersey.inference", *model, str(tmp_path / "crop.png"), "--format=csv"])
        assert main() == 0
        assert capsys.readouterr().out.splitlines()[1].split(",")[1] == number


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (Path.unlink, "cannot read the model"),
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), "is incomplete"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"planted", b"changed")), "SHA-256"),
    ],
)
@pytest.mark.parametrize("is_checkout", [False, True])
def test_a_missing_or_changed_file_is_one_sentence_that_says_how_to_restore_it(
    damage: object,
    words: str,
    is_checkout: bool,
    planted: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file_of(planted.with_name("crop.png"), "10")
    remedy = "install jersey again"
    if is_checkout:
        for command in ("init", "add .", "-c user.name=a -c user.email=a commit -m first"):
            subprocess.run(["git", *command.split()], cwd=planted.parents[2], check=True, capture_output=True)
        remedy = f"run `git -C {planted.parents[2]} checkout {planted.relative_to(planted.parents[2])}`"
    content = planted.read_bytes()
    damage(planted)  # type: ignore[operator]
    with pytest.raises(UserError, match=rf"{words}.*; {re.escape(remedy)}$"):
        Predictor()
    monkeypatch.setattr(sys, "argv", ["jersey.inference", str(planted.with_name("crop.png"))])
    with pytest.raises(SystemExit) as ended, exit_on_user_error():
        main()
    assert ended.value.code == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert str(planted) in sentence
    if is_checkout:
        subprocess.run(shlex.split(remedy.removeprefix("run `").rstrip("`")), check=True, capture_output=True)
        assert planted.read_bytes() == content
