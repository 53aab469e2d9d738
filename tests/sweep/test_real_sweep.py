"""A sweep of the real `launch.py`: begun by its printed commands, finished as a sweep, then only tabulated."""

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.countdown import rows_of

Launch = Callable[..., subprocess.CompletedProcess]


@pytest.mark.slow
@pytest.mark.timeout(900)  # six processes import torch
def test_a_sweep_finishes_what_its_commands_began_and_is_not_repeated(
    launch: Launch, crops_root: Path, tmp_path: Path
) -> None:
    sets = ("data.size_px=(32,32)", "weights=None", "profile=False", "grad_cam=None", f"root={crops_root}", "seed=7")
    flags = ("--exp=resnet18_baseline", "--fiddler=smoke", "--fiddler=cpu", *(f"--fdl_set={each}" for each in sets))
    sweep = (*flags, "--sweep=lr=1e-3", "--sweep=seed=0,1,2", "--run=try")
    names = [f"try-lr=0.001,seed={seed}" for seed in range(3)]
    parent = tmp_path / "runs" / "resnet18_baseline"

    commands = launch(*sweep, "--sweep_commands")
    assert commands.returncode == 0, commands.stderr
    assert not parent.exists()
    lines = commands.stdout.splitlines()
    assert len(lines) == len(names)
    subprocess.run(["sh"], input=lines[2], text=True, check=True, timeout=280, cwd="/")
    assert [path.name for path in parent.iterdir()] == names[2:]

    first = launch(*sweep, "--jobs=2", timeout_s=600)
    assert first.returncode == 0, first.stderr
    assert "3 runs, 1 of them already finished" in first.stderr
    assert sorted(path.name for path in parent.iterdir() if path.is_dir()) == sorted(names)
    assert [line.split()[:2] for line in first.stdout.splitlines()[1:2]] == [["0.001", "3"]]
    (table,) = parent.glob("*.csv")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == names
    for row in rows:
        *epochs, test = rows_of(parent / row["run"])
        assert (row["val/acc_top1"], row["test/f1_macro"]) == (epochs[0]["val/acc_top1"], test["test/f1_macro"])
        assert f"{100 * float(row['test/acc_top1']):.1f} %" in (parent / row["run"] / "report.md").read_text()

    before = {path: path.stat().st_mtime_ns for name in names for path in (parent / name).rglob("*")}
    again = launch(*sweep)
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    assert {path: path.stat().st_mtime_ns for name in names for path in (parent / name).rglob("*")} == before
