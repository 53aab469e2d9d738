"""The table of accuracy by crops of each number, from real folders of runs, and its plot."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.run_folders import run_folder
from PIL import Image

from jersey.compare.learning_curve import accuracies, reader_accuracy, table
from jersey.compare.runs import read_run
from jersey.core.errors import UserError

TRUE = ["23", "7", "00", "0"]


def folders(root: Path) -> list[Path]:
    """Three runs of one experiment with 1, 20 and all crops of each number, and a second seed with 20."""
    predicted = {"1": ["23", "0", "0", "7"], "20": ["23", "7", "00", "7"], "None": TRUE}
    made = [
        run_folder(root / "small" / count, numbers, true=TRUE, config=f"data.crops_per_label = {count}")
        for count, numbers in predicted.items()
    ]
    again = run_folder(
        root / "small" / "again", ["23", "7", "0", "7"], true=TRUE, config="data.crops_per_label = 20", seed=1
    )
    other = run_folder(root / "plain" / "a", ["1"] * 4, true=TRUE, config="data.crops_per_label = 2")
    return [*made, again, other]


def test_a_cell_is_the_mean_and_the_deviation_of_its_runs(tmp_path: Path) -> None:
    runs = [read_run(folder) for folder in folders(tmp_path)]
    assert accuracies(runs) == {"small": {1: [0.25], 20: [0.75, 0.5], float("inf"): [1.0]}, "plain": {2: [0.0]}}
    assert table(accuracies(runs)) == [
        "| crops of each number | 1 | 2 | 20 | all |",
        "| --- | --- | --- | --- | --- |",
        "| small | 25.0 |  | 62.5 ± 17.7 | 100.0 |",
        "| plain |  | 0.0 |  |  |",
    ]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jersey.compare.learning_curve", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_command_prints_the_table_and_writes_the_plot(tmp_path: Path) -> None:
    done = command(*folders(tmp_path), f"--plot={tmp_path / 'curve.png'}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("| crops of each number | 1 | 2 | 20 | all |")
    assert Image.open(tmp_path / "curve.png").width < 700


@pytest.mark.slow
@pytest.mark.parametrize("name", ["missing/curve.png", "curve.jpg"])
def test_a_plot_that_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str) -> None:
    done = command(*folders(tmp_path), f"--plot={tmp_path / name}")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{name} is not a .png file" in done.stderr


@pytest.mark.slow
def test_runs_on_other_crops_are_refused(tmp_path: Path) -> None:
    first, *_ = folders(tmp_path)
    other = run_folder(tmp_path / "small" / "other", ["23"], true=["23"])
    done = command(first, other)
    assert done.returncode == 2
    assert "were tested on different crops" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "flags", "code"),
    [("fiddle", (), 0), ("matplotlib", (), 0), ("matplotlib", ("--plot=a.png",), 2), ("onnxruntime", (), 0)],
)
def test_a_package_that_is_missing_is_one_sentence_and_only_if_it_is_needed(
    tmp_path: Path, package: str, flags: tuple[str, ...], code: int
) -> None:
    words = ["learning_curve", *map(str, folders(tmp_path)), *flags]
    block = f"import runpy, sys; sys.modules[{package!r}] = None; sys.argv = {words!r}"
    program = f"{block}; runpy.run_module('jersey.compare.learning_curve', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stderr
    assert [f"the package {package} is not installed" in line for line in done.stderr.splitlines()] == [True] * (
        code > 0
    )


def test_crops_that_have_moved_are_one_sentence_that_names_their_folder(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "small" / "a", TRUE, true=TRUE, config=f"data.root = {str(tmp_path / 'moved')!r}")
    with pytest.raises(UserError, match=rf"4 of 4 crops of \S+ are not in {tmp_path}/moved, such as .*; put them back"):
        reader_accuracy(read_run(run))
