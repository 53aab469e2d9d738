"""`python -m jersey.evaluate` scores exported files on a data set: page, tables, comparison, gate, and no torch."""

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers.exported import tiny_model, wide_model

from jersey.compare.statistics import gain_between
from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.core.model_file import with_checksum
from jersey.core.tables import percent
from jersey.data.decode import decode
from jersey.evaluate import command, main
from jersey.inference.onnx_model import OnnxModel
from jersey.inference.predictor import Predictor


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two files of the same labels and other weights."""
    folder = tmp_path_factory.mktemp("models")
    return [tiny_model(folder), wide_model(folder / "wide.onnx", seed=5)]


@pytest.fixture
def path(two_models: list[Path]) -> Path:
    return two_models[0]


@pytest.fixture
def data(crops_root: Path, tmp_path: Path) -> Path:
    """The synthetic crops, an image of a number that the model does not know, one that is broken, and an illegible."""
    root = Path(shutil.copytree(crops_root, tmp_path / "other", ignore=shutil.ignore_patterns(".*")))
    first, second, *_ = sorted((root / "test" / "0").iterdir())
    for label in ("77", "illegible"):
        (root / "test" / label).mkdir()
        shutil.copyfile(second, root / "test" / label / "a.jpg")
    first.write_bytes(first.read_bytes()[:100])
    return root


def test_the_page_has_the_scores_of_the_file_and_counts_what_is_excluded(
    path: Path, data: Path, tmp_path: Path
) -> None:
    model, out = OnnxModel(path), tmp_path / "out"
    assert main([path], data, str(out)) == 0
    text = (out / "report.md").read_text(encoding="utf-8").replace("\\_", "_")
    confidence, correct = [], []
    for label in ("0", "00", "01"):
        for file in sorted((data / "test" / label).iterdir()):
            if file.stat().st_size == 100:
                continue
            p_K = model.output("probabilities", np.ascontiguousarray(decode(file).transpose(2, 0, 1))[None])[0]
            confidence.append(p_K.max())
            correct.append(model.labels.names[p_K.argmax()] == label)
    assert f"Test accuracy {percent(np.mean(correct))} ({sum(correct)} / {len(correct)})" in text
    assert "because the image cannot be read (1): test/0/" in text
    assert "does not know the label (1): test/77/a.jpg (77)" in text
    assert "| auroc_legible |" in text
    for each in model.thresholds:
        coverage = percent((np.array(confidence) >= each.confidence).mean()) if each.confidence else "-"
        (row,) = (line for line in text.splitlines() if line.startswith(f"| {percent(each.precision)} |"))
        assert row.split(" | ")[3] == coverage
    assert (out / "report.html").read_text(encoding="utf-8").count("data:image/png") == 3


def test_data_without_a_label_of_the_file_is_rejected_and_nothing_is_written(
    path: Path, data: Path, tmp_path: Path
) -> None:
    for split in ("train", "val", "test"):
        shutil.rmtree(data / split)
        (data / split / "88").mkdir(parents=True)
        (data / split / "88" / "a.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"no image of test in .* has a label of the model"):
        main([path], data, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_only_the_evaluated_split_is_needed(path: Path, data: Path) -> None:
    for split in ("train", "val"):
        shutil.rmtree(data / split)
    assert main([path], data) == 0
    with pytest.raises(UserError, match="has no val split; evaluate another one"):
        main([path], data, split="val")
    (data / "test" / "stray.jpg").touch()
    with pytest.raises(UserError, match=r"stray\.jpg is not in a class folder"):
        main([path], data)


def test_all_crops_of_a_folder_without_splits_are_evaluated(
    path: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = []
    for root in (data, data / "test"):
        assert main([path], root, out=str(tmp_path / f"out of {root.name}")) == 0
        outputs.append(capsys.readouterr().out.replace("all crops of", "test of").splitlines())
    assert outputs[1][-2] == outputs[0][-2]  # the scores
    page = (tmp_path / "out of test" / "report.md").read_text(encoding="utf-8")
    assert f"Overall accuracy {outputs[0][-2].split()[1]}" in page
    with pytest.raises(UserError, match="has no folder train and no folder val"):
        main([path], data / "test", split="test")


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_two_files_are_compared_on_the_same_images(
    two_models: list[Path], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tables have what the predictor predicts; the interval of the gain is that of paired predictions."""
    out = tmp_path / "out"
    assert main(two_models, data, str(out)) == 0
    predictions = rows_of(out / "predictions.csv")
    correct = []
    for path in two_models:
        predictor, rows = Predictor(path), [row for row in predictions if row["model"] == str(path)]
        assert len(rows) == 11, "of 12 crops one is broken"
        found = [predictor.predict(data / row["image"]) for row in rows]
        assert [each.number for each in found] == [row["predicted"] for row in rows]
        assert [each.confidence for each in found] == pytest.approx(
            [float(row["confidence"]) for row in rows], abs=1e-5
        )
        assert [int(row["predicted"] == row["label"]) for row in rows] == [int(row["correct"]) for row in rows]
        correct.append(np.array([row["correct"] == "1" for row in rows]))
    gain = gain_between(*(each[None] for each in correct), np.zeros(11, int), rng=np.random.default_rng(0))
    first, second = rows_of(out / "models.csv")
    assert (first["gain"], first["p"]) == ("", "")
    values = [float(second[name]) for name in ("accuracy", "gain", "gain_low", "gain_high", "p")]
    assert values == pytest.approx([correct[1].mean(), gain.gain, gain.low, gain.high, gain.p])
    by_label = rows_of(out / "labels.csv")
    assert {row["label"] for row in by_label} == {"0", "00", "01"}
    assert sum(int(row["correct"]) for row in by_label) == sum(each.sum() for each in correct)
    printed = capsys.readouterr().out
    assert f"{100 * gain.low:+.1f} to {100 * gain.high:+.1f}" in printed
    assert "the image cannot be read (1): test/0/" in printed
    assert {path.parent.name for path in out.rglob("report.html")} == {"model_1", "model_2"}


def test_a_label_that_one_file_does_not_know_is_excluded_for_all(
    path: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [path, wide_model(tmp_path / "fewer.onnx", labels=Labels(("0", "00")))]
    main(models, data, str(tmp_path / "out"), roster="0,00")
    for model in models:
        known = [row for row in rows_of(tmp_path / "out" / "labels.csv") if row["model"] == str(model)]
        assert {row["label"] for row in known} == {"0", "00"}
    unknown = len(list((data / "test" / "01").iterdir()))
    assert f"Excluded because {models[1]} does not know the label ({unknown}): test/01/" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.html")), "a page describes a file without a roster"


@pytest.mark.parametrize("roster", ["00", "0,01"])
def test_a_roster_is_that_of_the_predictor(roster: str, path: Path, data: Path, tmp_path: Path) -> None:
    main([path], data, str(tmp_path / "out"), roster=roster)
    predictor = Predictor(path, roster=roster.split(","))
    rows = rows_of(tmp_path / "out" / "predictions.csv")
    assert [predictor.predict(data / row["image"]).number or "" for row in rows] == [row["predicted"] for row in rows]


def test_the_exit_code_is_1_below_the_minimum_and_names_the_file(
    two_models: list[Path], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(two_models, data, min_accuracy=0.0) == 0
    assert main(two_models[:1], data, min_accuracy=1.0) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "is below" in line]
    assert line.startswith(f"{two_models[0]}: ")
    assert line.endswith("is below --min_accuracy=1")


def test_a_format_decides_where_two_are_recognized(path: Path, data: Path, tmp_path: Path) -> None:
    """A table gives one image of folder "0" another label, and no others: with folders it is only one more file."""
    image = sorted((data / "test" / "0").iterdir())[1]
    (data / "test" / "labels.csv").write_text(f"image,label\n0/{image.name},01\n", encoding="utf-8")
    for layout, labels in (("folders", {"0", "00", "01"}), ("csv", {"01"})):
        main([path], data, str(tmp_path / layout), format=layout)
        assert {row["label"] for row in rows_of(tmp_path / layout / "predictions.csv")} == labels
    with pytest.raises(UserError, match="format=soccernet, but no split"):
        main([path], data, format="soccernet")


def test_files_that_are_not_used_are_counted_and_the_home_folder_is_replaced(
    path: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (data / "test" / "0" / "b.heif").write_bytes(b"\0\0\0\x18ftypmif1")
    assert main([path], data, "~/out") == 0
    printed = capsys.readouterr().out
    assert "layout: " in printed
    assert re.search(r"^HEIC image.* 1 +test/0/b\.heif$", printed, flags=re.MULTILINE), printed
    assert "warning: 1 file is not used, test/0/b.heif: " in printed
    assert (tmp_path / "out" / "models.csv").exists()


def test_wrong_arguments_are_one_sentence(two_models: list[Path], data: Path) -> None:
    with pytest.raises(UserError, match="--min_accuracy=95 is not a fraction of the images; give one from 0 to 1"):
        main(two_models, data, min_accuracy=95.0)
    with pytest.raises(UserError, match="given twice"):
        main([two_models[0]] * 2, data)
    with pytest.raises(UserError, match="does not know the roster's '77'"):
        main(two_models, data, roster="77")
    content = onnx.load(two_models[0])
    del content.metadata_props[-1]  # the checksum
    for axis in (2, 3):
        content.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 8
    (data / "model.static.onnx").write_bytes(with_checksum(content.SerializeToString()))
    with pytest.raises(UserError, match=r"static\.onnx takes crops of one size only; use the model\.onnx beside it"):
        main([data / "model.static.onnx"], data)


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("run", "run has files that the results could replace; choose another --out, which is new or empty"),
        ("run/config.txt", "is not a folder that you may write to; choose another --out"),
        ("run/config.txt/more", r"config\.txt is not a folder that you may write to"),
    ],
)
def test_a_folder_that_cannot_have_the_results_is_refused_before_the_first_prediction(
    path: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.txt").write_text("lr = 1\n")
    monkeypatch.setattr("jersey.evaluate.predict", None)
    with pytest.raises(UserError, match=words):
        main([path], data, out)
    assert [each.name for each in (tmp_path / "run").iterdir()] == ["config.txt"]


def test_the_command_needs_no_torch(two_models: list[Path], data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages for training, it writes the tables and says why there is no page."""
    absent = ("torch", "matplotlib", "lightning", "fiddle", "absl", "onnx")
    code = f"import sys; sys.modules.update(dict.fromkeys({absent!r})); "
    code += "import importlib.util as u; real = u.find_spec; "
    code += f"u.find_spec = lambda name, *more: None if name in {absent!r} else real(name, *more); "
    code += "from jersey.evaluate import command; sys.exit(command())"
    words = [*map(str, two_models), str(data), "--out=out", "--min_accuracy=1"]
    result = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=data.parent, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1, result.stderr
    assert 'it has no page, because that needs pip install "jersey[train]"' in result.stdout
    assert (data.parent / "out" / "predictions.csv").exists()
    monkeypatch.setattr(sys, "argv", ["evaluate", *words[:-2], "--min_accuracy=0"])
    assert command() == 0
