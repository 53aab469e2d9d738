"""The inference command: rows on standard output, exit code, and one sentence if it cannot start."""

import contextlib
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import onnx
import pytest
from helpers.planted_model import file_of, planted_model
from helpers.repository import REPOSITORY

from jersey.core.errors import exit_on_user_error
from jersey.inference import Predictor
from jersey.inference.__main__ import main

ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": ""}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model and six crops of two players, one of which is not an image."""
    planted_model(tmp_path / "model.onnx")
    for tracklet, number in (("p1", "00"), ("p2", "23")):
        for frame in range(3):
            file_of(tmp_path / "crops" / tracklet / f"{frame}.png", number, certainty=50 + 20 * frame)
    (tmp_path / "crops" / "p2" / "1.png").write_bytes(b"no image")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def rows(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Runs the command in this process; returns the exit code and the rows."""

    def run(*flags: str) -> tuple[int, list[dict]]:
        monkeypatch.setattr(sys, "argv", ["jersey.inference", "model.onnx", *flags])
        code = main()
        out, err = capsys.readouterr()
        assert err == ""
        return code, [json.loads(line) for line in out.splitlines()]

    return run


@pytest.fixture
def start(folder: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the command in its own process; `more` are environment variables."""

    def begin(*flags: str, **more: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "jersey.inference", "model.onnx", "-", *flags]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen(words, cwd=folder, env=ENVIRONMENT | more, text=True, **pipes)

    return begin


def test_the_rows_of_a_folder_agree_with_the_predictor_and_a_bad_file_has_its_row(folder: Path, rows: Callable) -> None:
    code, found = rows("crops", "--batch_size=2", "--top_k=2")
    assert code == 1
    expected = list(Predictor(folder / "model.onnx", top_k=2).predict_folder("crops"))
    assert [row["image"] for row in found] == [str(path) for path, _ in expected]
    assert [row["number"] for row in found if "error" not in row] == ["00", "00", "00", "23", "23"]
    (bad,) = [row for row in found if "error" in row]
    assert bad["image"] in bad["error"]
    for row, (_, prediction) in zip(found, expected, strict=True):
        if row is not bad:
            assert row["confidence"] == pytest.approx(prediction.confidence, abs=1e-6)
            assert dict(row["top_k"]) == pytest.approx(dict(prediction.top_k), abs=1e-6)


def test_flags_reach_the_predictor_and_without_a_bad_file_the_exit_code_is_0(folder: Path, rows: Callable) -> None:
    code, found = rows("crops/p1", "crops/p2/*[02].png", "--provider=cpu")
    assert (code, len(found)) == (0, 5)
    for flag, number in (("--roster=0, 10", "0"), ("--min_precision=0.98", None), ("--min_confidence=0.999", None)):
        assert {row["number"] for row in rows("crops/p1", flag)[1]} == {number}
    file_of(folder / "new" / "77.png", "77")
    _, (row,) = rows("new", "--open_vocabulary")
    assert (row["number"], row["unseen"]) == ("77", True)


def test_tracklets_are_folders(folder: Path, rows: Callable) -> None:
    code, found = rows("crops", "--tracklets")
    assert code == 1
    tracklets = {row["tracklet"]: row for row in found if "number" in row}
    assert [(tracklet, row["number"], row["frames"]) for tracklet, row in tracklets.items()] == [
        ("crops/p1", "00", 3),
        ("crops/p2", "23", 2),
    ]
    (bad,) = [row for row in found if "error" in row]
    assert (bad["tracklet"], bad["image"]) == ("crops/p2", "crops/p2/1.png")
    pooled = Predictor(folder / "model.onnx").predict_tracklet(sorted((folder / "crops" / "p1").iterdir()))
    assert tracklets["crops/p1"]["confidence"] == pytest.approx(pooled.confidence, abs=1e-6)


def test_tracklets_of_an_annotation_file_may_be_interleaved_and_without_any_image(folder: Path, rows: Callable) -> None:
    listed = [("p1/0.png", "a"), ("p2/0.png", "b"), ("p1/1.png", "a"), ("p2/1.png", "c"), ("p2/2.png", "b")]
    text = "".join(
        json.dumps({"image": image, "suffix": "0", "tracklet": tracklet}) + "\n" for image, tracklet in listed
    )
    (folder / "crops" / "list.jsonl").write_text(text + "nonsense\n", encoding="utf-8")
    code, found = rows("crops/list.jsonl", "--tracklets")
    assert code == 1
    assert [(row["tracklet"], row["number"], row["frames"]) for row in found if "number" in row] == [
        ("a", "00", 2),
        ("b", "23", 2),
    ]
    assert [row.get("tracklet", row.get("image")) for row in found if "error" in row] == [
        "c",
        "c",
        "crops/list.jsonl:6",
    ]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["gone.onnx", "crops"], "gone.onnx"),
        (["bad.onnx", "crops"], "checksum"),
        (["model.onnx", "crops", "--annotations=crops"], "does not end in .jsonl"),
        (["model.onnx", "crops", "--annotations=old.jsonl"], "old.jsonl exists already"),
        (["model.onnx", "crops", "--annotations=gone/new.jsonl"], "no folder gone"),
        (["model.onnx", "crops/p2/1.png", "--annotations=new.jsonl"], "new.jsonl was not written"),
        (["model.onnx", "nowhere"], "nowhere"),
        (["model.onnx", "empty"], "no image in empty"),
        (["model.onnx", "-"], "standard input names no image"),
        (["model.onnx", "crops", "--roster=00,55"], "'55'"),
        (["model.onnx", "crops", "--roster="], "empty"),
        (["model.onnx", "crops", "--min_precision=0.99"], "0.98"),
        (["model.onnx", "crops", "--min_precision=0.95", "--min_confidence=0.5"], "leave one out"),
        (["model.onnx", "crops", "--min_confidence=95"], "from 0 to 1"),
        (["model.onnx", "crops", "--provider=abacus"], "abacus"),
        (["closed.onnx", "crops", "--open_vocabulary"], "compositional head"),
    ],
)
def test_a_user_error_is_one_sentence_and_exit_code_2(
    folder: Path, flags: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "empty").mkdir()
    (folder / "bad.onnx").write_bytes(b"no model")
    (folder / "old.jsonl").write_bytes(b"reviewed")
    planted_model(folder / "closed.onnx", is_open_vocabulary=False)
    monkeypatch.setattr(sys, "argv", ["jersey.inference", *flags])
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: PTH123, SIM115
    with pytest.raises(SystemExit) as ended, exit_on_user_error():
        main()
    out, err = capsys.readouterr()
    assert ended.value.code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert words in err
    assert [path.read_bytes() for path in folder.glob("*.jsonl")] == [b"reviewed"]


@pytest.mark.parametrize("flags", [["model.onnx"], ["crops", "--annotations=new.jsonl", "--tracklets"]])
def test_flags_that_do_not_go_together_end_the_command(
    flags: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["jersey.inference", *flags])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("python -m jersey.inference: error: ")


def test_a_tilde_in_an_argument_or_a_list_is_the_home_folder(
    folder: Path, rows: Callable, start: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    (folder / "list.jsonl").write_text('{"image": "~/crops/p2/0.png"}', encoding="utf-8")
    for argument, images in (("~/crops/p1", 3), ("~/crops/p1/*.png", 3), ("~/list.jsonl", 1)):
        code, found = rows(argument)
        assert (code, len(found)) == (0, images)
        assert all(row["image"].startswith(f"{folder}/crops/") for row in found)
    out, _ = start(HOME=str(folder)).communicate('~/crops/p1/0.png\n{"image": "~/crops/p2/0.png"}\n', timeout=100)
    assert [json.loads(row)["number"] for row in out.splitlines()] == ["00", "23"]


def test_rows_state_the_model_and_the_version(folder: Path, rows: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    entries = {entry.key: entry.value for entry in onnx.load(folder / "model.onnx").metadata_props}
    for flags in (["crops"], ["crops", "--tracklets"]):
        _, found = rows(*flags)
        assert {row["model_sha256"] for row in found} == {entries["sha256"]}
        assert {row["jersey_version"] for row in found} == {metadata.version("jersey")}
    with pytest.raises(SystemExit) as ended:
        rows("--version")
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"jersey {metadata.version('jersey')}\n"


def test_the_installed_command_is_the_module(folder: Path) -> None:
    found = {}
    script = str(Path(sys.executable).with_name("jersey-read"))
    for name, words in (("script", [script]), ("module", [sys.executable, "-m", "jersey.inference"])):
        done = subprocess.run([*words, "model.onnx", "crops"], cwd=folder, env=ENVIRONMENT, capture_output=True)
        refused = subprocess.run([*words, "nowhere"], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
        assert (done.returncode, refused.returncode, len(refused.stderr.splitlines())) == (1, 2, 1)
        found[name] = done.stdout
    assert found["script"] == found["module"] != b""
    usage = subprocess.run([script, "--help"], capture_output=True, text=True, env=ENVIRONMENT).stdout
    assert usage.startswith("usage: jersey-read ")


def test_the_command_reads_standard_input_and_writes_csv_in_any_locale(folder: Path, start: Callable) -> None:
    file_of(folder / "crops" / "p1" / "größe.png", "00")
    process = start("--format=csv", LC_ALL="C", PYTHONIOENCODING="ascii")
    out, err = process.communicate("crops/p1/größe.png\ncrops/p2/2.png\n", timeout=100)
    assert (process.returncode, err) == (0, "")
    found = list(csv.DictReader(out.splitlines()))
    assert [(row["image"], row["number"]) for row in found] == [("crops/p1/größe.png", "00"), ("crops/p2/2.png", "23")]


def test_each_row_of_a_slow_pipe_comes_within_half_a_second(start: Callable) -> None:
    delays_s = []
    with start() as process:
        for frame in (0, 2, 0, 2, 0, 2):
            written_s = time.monotonic()
            process.stdin.write(f"crops/p2/{frame}.png\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["image"] == f"crops/p2/{frame}.png"
            delays_s.append(time.monotonic() - written_s)
        process.stdin.close()
        assert process.wait(60) == 0
    # The first row waits for the start of the process, and a busy machine may delay another.
    assert sorted(delays_s[1:])[2] < 0.5


def test_rows_come_before_the_input_ends_and_a_closed_pipe_ends_the_command_quietly(start: Callable) -> None:
    with start("--batch_size=1") as process:
        process.stdin.write("crops/p1/0.png\n" * 3)
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["number"] == "00"
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write("crops/p1/0.png\n" * 20_000)
            process.stdin.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == ""
