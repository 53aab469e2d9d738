"""Commands and folders of a sweep, and what keeps it from starting."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.sweep_process import runs_of

from jersey.core.errors import UserError
from jersey.sweep.plan import Assignment, Point, plan, shell_lines


def test_a_run_is_the_command_with_its_values_and_its_name(tmp_path: Path) -> None:
    points = [Point((Assignment("m.lr", "lr", "0.1"), Assignment("data.root", "root", "'/a b'")), "")]
    (run,) = plan(points, command=["python", "launch.py", "--exp=x"], parent=tmp_path, prefix="try")
    assert run.folder.parent == tmp_path
    assert run.folder.name.startswith("try-lr=0.1,root=")
    values = ("--fdl_set=m.lr=0.1", "--fdl_set=data.root='/a b'")
    assert run.command == ("python", "launch.py", "--exp=x", *values, f"--run={run.folder.name}")
    assert list(tmp_path.iterdir()) == []


def test_every_line_of_shell_does_its_run_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "it's here"
    here.mkdir()
    monkeypatch.chdir(here)
    texts = ["'a b'", '"it\'s"', "'$HOME `x` ; é'", "('0', '00')", r"'two\nlines'"]
    points = [Point((Assignment("root", "root", text),), "") for text in texts]
    show = "import os, sys; print(ascii([os.getcwd(), *sys.argv[1:]]))"
    runs = plan(points, command=[sys.executable, "-S", "-c", show], parent=tmp_path)
    lines = shell_lines(runs).splitlines()
    assert len(lines) == len(runs)
    for line, run in zip(lines, runs, strict=True):
        seen = subprocess.run(["sh"], input=line, capture_output=True, text=True, check=True, cwd="/").stdout
        assert seen.strip() == ascii([str(here), *run.command[4:]])


def test_an_array_job_does_the_line_of_its_number(tmp_path: Path) -> None:
    runs = runs_of(tmp_path / "exp", ["a", "b"], [90])
    (tmp_path / "exp").mkdir()
    (tmp_path / "runs.txt").write_text(shell_lines(runs))
    for number in ("2", "1"):
        job = f'sed -n "${{SLURM_ARRAY_TASK_ID}}p" {shlex.quote(str(tmp_path / "runs.txt"))} | sh'
        subprocess.run(job, shell=True, check=True, env={"SLURM_ARRAY_TASK_ID": number, "PATH": "/usr/bin:/bin"})
    starts = [line for line in (tmp_path / "exp" / "diary.txt").read_text().splitlines() if line.startswith("start")]
    assert [line.split()[1] for line in starts] == ["task=b,seed=90", "task=a,seed=90"]


def test_a_folder_with_another_config_is_refused_with_the_difference(tmp_path: Path) -> None:
    runs = runs_of(tmp_path, ["a", "b"], [1])
    for run in runs:
        run.folder.mkdir()
        (run.folder / "config.txt").write_text(run.point.config_text)
    assert runs_of(tmp_path, ["a", "b"], [1]) == runs
    (runs[1].folder / "config.txt").write_text(runs[1].point.config_text.replace("seed = 1", "seed = 2"))
    with pytest.raises(UserError, match="seed was 2, now 1") as caught:
        runs_of(tmp_path, ["a", "b"], [1])
    assert str(runs[1].folder) in str(caught.value)
    assert "--run=" in str(caught.value)
    assert len(runs_of(tmp_path, ["a", "b"], [1], prefix="other")) == 2


@pytest.mark.parametrize("prefix", ["../one", "a/b", ".hidden", "", "two\nlines"])
def test_a_prefix_that_is_no_folder_name_is_refused(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(UserError, match="--run="):
        runs_of(tmp_path, ["a"], [1], prefix=prefix)
