"""The predictions of cross-validated runs are pooled: accuracy, the file of all predictions, and suspicious labels."""

import csv
import sys
from pathlib import Path

import pytest
from helpers.data_trees import save

from jersey.compare.folds import main, report
from jersey.core.errors import UserError
from jersey.core.tables import write_csv

HEADER = ("file", "size_bytes", "label", "predicted", "confidence", "label_probability", "label_rank")


def fold(folder: Path, rows: list[tuple[str, str, str, float, float]]) -> Path:
    """Creates a run with these validation predictions, and its data, whose crops are links to a common source."""
    root = folder / "data"
    for name, *_ in rows:
        save(folder.parent / "source" / name, hash(name) % 99)
        (root / "val" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "val" / name).symlink_to(folder.parent / "source" / name)
    (folder / "status.json").write_text('{"stage": "finished", "epochs": 1, "best_epoch": 0}')
    (folder / "config.txt").write_text(f"seed = 0\ndata.root = {str(root)!r}\n")
    write_csv(folder / "predictions_val.csv", HEADER, [(f"val/{row[0]}", 1, *row[1:], 1) for row in rows])
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [
        fold(tmp_path / "one", [("a.png", "7", "7", 0.9, 0.9), ("b.png", "7", "23", 0.99, 0.001)]),
        fold(
            tmp_path / "two",
            [("c.png", "23", "23", 0.8, 0.8), ("d.png", "23", "7", 0.3, 0.2), ("e.png", "7", "7", 0.6, 0.6)],
        ),
    ]


def test_all_crops_are_pooled_and_only_confident_contradictions_are_suspicious(
    runs: list[Path], tmp_path: Path
) -> None:
    text = report(runs, tmp_path / "out")
    assert "one       2     50.0 %" in text
    assert "all crops: 60.0 % (3 / 5), 95 % interval 23.1 % to 88.2 %" in text  # Wilson's interval by hand
    assert "1 suspicious label, see" in text  # d.png has 0.3 for 7, below the mean 0.5 of the crops of 7
    with (tmp_path / "out" / "out_of_fold.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["run"]) for row in rows] == [
        ("a.png", "one"), ("b.png", "one"), ("c.png", "two"), ("d.png", "two"), ("e.png", "two")
    ]  # fmt: skip
    page = (tmp_path / "out" / "labels.html").read_text()
    assert "label 7" in page
    assert "predicted 23 with 0.990" in page
    assert page.count("data:image/jpeg") == 1


def test_runs_that_are_no_folds_are_refused(runs: list[Path], tmp_path: Path) -> None:
    again = fold(tmp_path / "three", [("a.png", "7", "7", 0.9, 0.9)])
    with pytest.raises(UserError, match=r"both validated on .*a\.png, so they are not folds"):
        report([*runs, again], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (runs[0] / "predictions_val.csv").write_text("no,table\n1,2\n")
    with pytest.raises(UserError, match=r"cannot read .*predictions_val\.csv"):
        report(runs, tmp_path / "out")
    (runs[0] / "status.json").write_text('{"stage": "fit"}')
    with pytest.raises(UserError, match="is not finished"):
        report(runs, tmp_path / "out")


def test_a_folder_with_other_files_is_refused_and_its_model_stays(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The average replaces an earlier one, and the model of a run has the same name."""
    (tmp_path / "other").mkdir()
    for folder in (runs[0], tmp_path / "other"):
        (folder / "model.onnx").write_bytes(b"precious")
        before = sorted(folder.iterdir())
        monkeypatch.setattr(sys, "argv", ["folds", *map(str, runs), f"--out={folder}"])
        with pytest.raises(UserError, match="has files that the results could replace; choose another --out"):
            main()
        assert sorted(folder.iterdir()) == before
        assert (folder / "model.onnx").read_bytes() == b"precious"
