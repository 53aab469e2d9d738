"""Draft labels: what the rows contain, and that a data set is trained on and audited with them as they are."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.planted_model import THRESHOLDS, expected, file_of, planted_model

from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE
from jersey.data.index import read_splits
from jersey.inference import Predictor, draft_labels
from jersey.inference.__main__ import main
from jersey.inference.draft_labels import write_draft
from jersey.inference.sources import items_of

CERTAIN, UNCERTAIN = 255, 20


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set whose train split has unlabeled crops, on one of which the predictor abstains."""
    planted_model(tmp_path / "model.onnx")
    for name, number, certainty in (("a", "00", CERTAIN), ("größe", "23", CERTAIN), ("c", "10", UNCERTAIN)):
        file_of(tmp_path / "set" / "train" / "images" / f"{name}.png", number, certainty=certainty)
    for split in ("val", "test"):
        file_of(tmp_path / "set" / split / "00" / "1.png", "00")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def draft(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the command on these arguments; returns its exit code."""

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["jersey.inference", "model.onnx", *words])
        return main()

    return run


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_rows_are_annotations_that_training_reads(
    folder: Path, draft: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected("10", certainty=UNCERTAIN).max() < THRESHOLDS[0.98] < expected("00", certainty=CERTAIN).max()
    assert draft("set/train", "--annotations=set/train/draft.jsonl", "--min_precision=0.98") == 0
    out, err = capsys.readouterr()
    assert "3 rows with --min_precision=0.98, 1 of them with an empty suffix" in out
    assert len(out.splitlines()) == 1
    assert err == ""
    rows = {row["image"]: row for row in rows_of(folder / "set" / "train" / "draft.jsonl")}
    assert {image: row["suffix"] for image, row in rows.items()} == {
        "images/a.png": "00",
        "images/größe.png": "23",
        "images/c.png": ILLEGIBLE,
    }
    for image, prediction in Predictor("model.onnx").predict_folder("set/train"):
        row = rows[image.relative_to("set/train").as_posix()]
        assert row["confidence"] == pytest.approx(prediction.confidence, abs=1e-6)
        assert row.get("likeliest", row["suffix"]) == prediction.number
    split = read_splits(folder / "set")["train"]
    assert dict(zip([path.name for path in split.paths], split.labels, strict=True)) == {
        "a.png": "00",
        "größe.png": "23",
        "c.png": ILLEGIBLE,
    }


def test_without_a_precision_the_draft_abstains_below_the_confidence_for_95_percent_and_states_it(
    folder: Path, draft: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert draft("set/train", "--annotations=new.jsonl") == 0
    assert draft("set/train", "--annotations=same.jsonl", "--min_precision=0.95") == 0
    assert draft("set/train", "--annotations=all.jsonl", "--min_precision=0") == 0
    default, same, without = capsys.readouterr().out.splitlines()
    assert "3 rows with --min_precision=0.95, 1 of them with an empty suffix; 0 images could not be read" in default
    assert default.replace("new", "same") == same
    assert "3 rows with --min_precision=0, 0 of them with an empty suffix" in without
    assert rows_of(folder / "new.jsonl") == rows_of(folder / "same.jsonl")
    assert [row["suffix"] for row in rows_of(folder / "all.jsonl")].count(ILLEGIBLE) == 0


def test_a_model_without_this_confidence_is_one_sentence_whose_advice_works(
    folder: Path, draft: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(THRESHOLDS, 0.95, None)
    planted_model(folder / "model.onnx")
    with pytest.raises(UserError, match=r"min_precision=0\.95, as no .* set it to 0\.98 or 0, where"):
        draft("set/train", "--annotations=new.jsonl")
    assert not (folder / "new.jsonl").exists()
    for precision in ("0.98", "0"):
        assert draft("set/train", f"--annotations={precision}.jsonl", f"--min_precision={precision}") == 0


def test_paths_are_relative_to_the_file_and_the_tracklets_of_a_list_are_kept(
    folder: Path, draft: Callable[..., int]
) -> None:
    lines = [{"image": "images/a.png", "tracklet": "p1"}, {"image": "images/c.png"}]
    text = "\n".join(json.dumps(line) for line in lines)
    (folder / "set" / "train" / "list.jsonl").write_text(text, encoding="utf-8")
    (folder / "drafts").mkdir()
    assert draft("set/train/list.jsonl", "set/test", "--annotations=drafts/new.jsonl", "--min_precision=0") == 0
    rows = rows_of(folder / "drafts" / "new.jsonl")
    assert [(folder / "drafts" / row["image"]).resolve() for row in rows] == [
        folder.resolve() / "set" / name for name in ("train/images/a.png", "train/images/c.png", "test/00/1.png")
    ]
    assert [row.get("tracklet") for row in rows] == ["p1", None, None]
    assert [row["suffix"] for row in rows] == ["00", "10", "00"]


def test_images_that_cannot_be_read_have_no_row_and_exit_code_1(
    folder: Path, draft: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "set" / "train" / "images" / "bad.png").write_bytes(b"no image")
    assert draft("set/train", "--annotations=new.jsonl") == 1
    out, err = capsys.readouterr()
    assert "3 rows with --min_precision=0.95, 1 of them with an empty suffix" in out
    assert "; 1 image could not be read" in out
    assert err.startswith("error: set/train/images/bad.png")
    assert len(rows_of(folder / "new.jsonl")) == 3


def test_an_interrupted_draft_leaves_no_file(folder: Path) -> None:
    items, _ = items_of(["set/train"], sys.stdin)
    predictor = Predictor("model.onnx")

    def predictions() -> object:
        yield next(items), predictor.predict("set/test/00/1.png")
        assert any(path.suffix == ".jsonl" for path in folder.iterdir())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_draft(folder / "new.jsonl", predictions())  # type: ignore[arg-type]
    assert not list(folder.glob("*.jsonl"))
    assert not list(folder.glob(".*"))


def test_reviewed_labels_are_never_replaced(folder: Path) -> None:
    (folder / "reviewed.jsonl").symlink_to("gone.jsonl")  # a link to nothing would be replaced too
    with pytest.raises(UserError, match=r"reviewed\.jsonl exists already"):
        draft_labels.check_target(folder / "reviewed.jsonl")
