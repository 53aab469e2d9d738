"""The command as it is typed: rows on standard output, its exit code, and one sentence where nothing can be begun."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.planted_model import crop_of, file_of, planted_model
from helpers.repository import REPOSITORY

from jersey.inference import Predictor
from jersey.inference.__main__ import main

ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": ""}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model and six crops of two players, one of which is no image."""
    planted_model(tmp_path / "model.onnx")
    for track, number in (("p1", "00"), ("p2", "23")):
        for frame in range(3):
            file_of(tmp_path / "crops" / track / f"{frame}.png", number, sureness=50 + 20 * frame)
    (tmp_path / "crops" / "p2" / "1.png").write_bytes(b"no image")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def rows(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Runs the command here; gives exit code and the rows."""

    def run(*flags: str) -> tuple[int, list[dict]]:
        monkeypatch.setattr(sys, "argv", ["jersey.inference", "model.onnx", *flags])
        code = main()
        out, err = capsys.readouterr()
        assert err == ""
        return code, [json.loads(line) for line in out.splitlines()]

    return run


def command(folder: Path, *flags: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "jersey.inference", *flags]
    environment = ENVIRONMENT | more
    return subprocess.run(
        words, cwd=folder, env=environment, input=stdin, capture_output=True, text=True, timeout=100, check=False
    )


def test_a_folder_is_read_as_the_predictor_reads_it_and_a_bad_file_has_its_row(folder: Path, rows: Callable) -> None:
    code, found = rows("crops", "--batch_size=2", "--topk=2")
    assert code == 1
    expected = list(Predictor(folder / "model.onnx", top_k=2).predict_folder("crops"))
    assert [row["image"] for row in found] == [str(path) for path, _ in expected]
    assert [row["number"] for row in found if "error" not in row] == ["00", "00", "00", "23", "23"]
    (bad,) = [row for row in found if "error" in row]
    assert bad["image"] in bad["error"]
    for row, (_, reading) in zip(found, expected, strict=True):
        if row is not bad:
            assert row["confidence"] == pytest.approx(reading.confidence, abs=1e-6)
            assert dict(row["top_k"]) == pytest.approx(dict(reading.top_k), abs=1e-6)


def test_without_a_bad_file_the_exit_code_is_0(rows: Callable) -> None:
    code, found = rows("crops/p1", "crops/p2/*[02].png", "--provider=cpu")
    assert (code, len(found)) == (0, 5)


def test_roster_and_precision_reach_the_predictor(rows: Callable) -> None:
    _, found = rows("crops/p1", "--roster=0, 10")
    assert {row["number"] for row in found} == {"0"}
    _, found = rows("crops/p1", "--min_precision=0.98")
    assert {row["number"] for row in found} == {None}


def test_numbers_outside_the_labels_are_marked(folder: Path, rows: Callable) -> None:
    file_of(folder / "new" / "77.png", "77")
    _, (row,) = rows("new", "--open")
    assert (row["number"], row["unseen"]) == ("77", True)


def test_tracklets_are_folders(folder: Path, rows: Callable) -> None:
    code, found = rows("crops", "--tracklets")
    assert code == 1
    tracks = {row["track"]: row for row in found if "number" in row}
    assert [(track, row["number"], row["frames"]) for track, row in tracks.items()] == [
        ("crops/p1", "00", 3),
        ("crops/p2", "23", 2),
    ]
    (bad,) = [row for row in found if "error" in row]
    assert (bad["track"], bad["image"]) == ("crops/p2", "crops/p2/1.png")
    together = Predictor(folder / "model.onnx").predict_tracklet(sorted((folder / "crops" / "p1").iterdir()))
    assert tracks["crops/p1"]["confidence"] == pytest.approx(together.confidence, abs=1e-6)


def test_tracklets_are_tracks_that_may_be_mixed_and_without_any_image(folder: Path, rows: Callable) -> None:
    listed = [("p1/0.png", "a"), ("p2/0.png", "b"), ("p1/1.png", "a"), ("p2/1.png", "c"), ("p2/2.png", "b")]
    text = "".join(json.dumps({"image": image, "suffix": "0", "track": track}) + "\n" for image, track in listed)
    (folder / "crops" / "list.jsonl").write_text(text + "nonsense\n", encoding="utf-8")
    code, found = rows("crops/list.jsonl", "--tracklets")
    assert code == 1
    assert [(row["track"], row["number"], row["frames"]) for row in found if "number" in row] == [
        ("a", "00", 2),
        ("b", "23", 2),
    ]
    assert [row.get("track", row.get("image")) for row in found if "error" in row] == ["c", "c", "crops/list.jsonl:6"]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["gone.onnx", "crops"], "gone.onnx"),
        (["crops/p2/1.png", "crops"], "seal"),
        (["model.onnx", "nowhere"], "nowhere"),
        (["model.onnx", "empty"], "no image in empty"),
        (["model.onnx", "-"], "standard input names no image"),
        (["model.onnx", "crops", "--roster=00,55"], "'55'"),
        (["model.onnx", "crops", "--roster="], "empty"),
        (["model.onnx", "crops", "--min_precision=0.99"], "0.98"),
        (["model.onnx", "crops", "--provider=abacus"], "abacus"),
        (["closed.onnx", "crops", "--open"], "compositional head"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    folder: Path, flags: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "empty").mkdir()
    planted_model(folder / "closed.onnx", is_open=False)
    monkeypatch.setattr(sys, "argv", ["jersey.inference", *flags])
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: PTH123, SIM115
    from jersey.core.errors import exit_on_user_error

    with pytest.raises(SystemExit) as ended, exit_on_user_error():
        main()
    out, err = capsys.readouterr()
    assert ended.value.code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert says in err


def test_the_command_reads_standard_input_and_writes_csv_in_any_locale(folder: Path) -> None:
    file_of(folder / "crops" / "p1" / "größe.png", "00")
    names = "crops/p1/größe.png\ncrops/p2/2.png\n"
    result = command(folder, "model.onnx", "-", "--format=csv", stdin=names, LC_ALL="C", PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    found = list(csv.DictReader(result.stdout.splitlines()))
    assert [(row["image"], row["number"]) for row in found] == [("crops/p1/größe.png", "00"), ("crops/p2/2.png", "23")]
    assert result.stderr == ""


def test_a_reader_that_has_seen_enough_ends_it_quietly(folder: Path) -> None:
    names = "crops/p1/0.png\n" * 20_000
    script = f"{sys.executable} -m jersey.inference model.onnx - | head -n 1"
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=ENVIRONMENT,
        input=names,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert json.loads(result.stdout)["number"] == "00"
    assert result.stderr == ""


def test_rows_come_before_the_input_ends(folder: Path) -> None:
    words = [sys.executable, "-m", "jersey.inference", "model.onnx", "-", "--batch_size=1"]
    with subprocess.Popen(
        words,
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("crops/p1/0.png\n" * 3)
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["number"] == "00"
        process.stdin.close()
        assert len(process.stdout.readlines()) == 2
        assert process.wait(60) == 0


def test_the_answer_to_crops_is_that_to_their_files(folder: Path) -> None:
    predictor = Predictor(folder / "model.onnx")
    assert predictor.predict("crops/p1/0.png") == predictor.predict(crop_of("00", sureness=50))
