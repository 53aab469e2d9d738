"""The command `python -m jersey.synth`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.fonts import write_font
from PIL import Image

from jersey.core.errors import UserError
from jersey.synth.__main__ import parse_numbers


def command(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jersey.synth", *flags], capture_output=True, encoding="utf-8", timeout=120, check=False
    )


def test_crops_are_generated_and_summarized(tmp_path: Path) -> None:
    out = tmp_path / "crops"
    done = command(str(out), "--numbers=0,00,8-9", "--train=8", "--val=4", "--test=4", "--size_px=32", "--seed=3")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (out / "train").iterdir()} == {"0", "00", "8", "9"}
    last = done.stdout.splitlines()[-1]
    assert str(out) in last
    assert "8 train, 4 val and 4 test" in last
    assert " contains " in last
    done = command(str(out), "--numbers=0,00,8-9", "--train=8", "--val=4", "--test=4", "--size_px=32", "--seed=3")
    assert done.stdout.splitlines() == [last.replace(" contains ", " already contains ")]


def test_tracklets_and_illegible_crops(tmp_path: Path) -> None:
    flags = ("--numbers=0,00", "--val=2", "--test=2", "--size_px=32")
    done = command(str(tmp_path / "tracklets"), *flags, "--train=0", "--frames=3")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "tracklets" / "test" / "00" / "000001").iterdir())) == 3
    assert "0 train, 2 val and 2 test tracklets (3 frames each)" in done.stdout
    done = command(str(tmp_path / "crops"), *flags, "--train=20", "--illegible=0.1")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "crops" / "train" / "illegible").iterdir())) == 2
    assert "plus 10 % illegible crops" in done.stdout


def test_varied_crops_in_own_fonts(tmp_path: Path) -> None:
    write_font(tmp_path / "fonts" / "one.ttf", "One")
    flags = ("--numbers=7,42", "--train=30", "--val=2", "--test=2", "--size_px=64", "--style=varied")
    done = command(str(tmp_path / "crops"), *flags, f"--fonts={tmp_path / 'fonts'}")
    assert done.returncode == 0, done.stderr
    assert "of 2 numbers, up to 64 pixels" in done.stdout
    sizes = []
    for path in (tmp_path / "crops").rglob("*.jpg"):
        with Image.open(path) as image:
            sizes.append(image.size)
    assert 12 <= min(map(min, sizes)) < 30 < max(map(max, sizes)) <= 64


@pytest.mark.parametrize(
    "flag",
    [
        "--numbers=a",
        "--numbers=9-12",
        "--numbers=",
        "--train=2",
        "--seed=x",
        "--style=wide",
        "--fonts=none",
        "--fonts=",
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path: Path, flag: str) -> None:
    done = command(str(tmp_path / "crops"), "--numbers=1,2,3", "--val=3", "--test=3", "--train=3", flag)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].count("error: ") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("10-13", "10 11 12 13"), ("00-02,0-1", "00 01 02 0 1"), (" 4 , 5-5 ", "4 5")],
)
def test_numbers_and_ranges_are_parsed(text: str, numbers: str) -> None:
    assert parse_numbers(text) == tuple(numbers.split())


@pytest.mark.parametrize("text", ["5-10", "12-10", "-3", "3-", "a-c", "1-2-3"])
def test_invalid_ranges_are_errors(text: str) -> None:
    with pytest.raises(UserError, match="range"):
        parse_numbers(text)


def test_rendering_imports_no_torch() -> None:
    script = "import sys, jersey.synth.generate; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


def test_two_processes_that_generate_the_same_data_set_at_once_succeed(tmp_path: Path) -> None:
    out = tmp_path / "crops"
    flags = (str(out), "--numbers=0,00", "--train=60", "--val=2", "--test=2", "--size_px=32")
    both = [subprocess.Popen([sys.executable, "-m", "jersey.synth", *flags], stderr=subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert [path.name for path in tmp_path.iterdir()] == ["crops"]
    assert len(list(out.glob("train/*/*.jpg"))) == 60


@pytest.mark.parametrize("module", ["jersey.synth", "jersey.synth.benchmark"])
def test_help_describes_every_option_with_an_example(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, encoding="utf-8", check=True)
    options = done.stdout.partition("show this help message and exit")[2].partition("example:")[0]
    flags = re.split(r"\n  (?=--)", options)[1:]
    assert len(flags) >= 3
    assert all(re.search(r"such as\s+\S", flag) for flag in flags), done.stdout
