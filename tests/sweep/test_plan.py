"""The commands and folders of a sweep have safe, short and unique names; conflicts raise an error before the start."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.sweep_process import runs_of
from hypothesis import example, given
from hypothesis import strategies as st

from jersey.core.errors import UserError
from jersey.sweep.plan import Assignment, Point, folder_name, plan, shell_lines


def test_the_command_of_a_run_has_its_values_and_its_name(tmp_path: Path) -> None:
    points = [Point((Assignment("m.lr", "lr", "0.1"), Assignment("data.root", "root", "'/a b'")), "")]
    (run,) = plan(points, command=["python", "launch.py", "--exp=x"], parent=tmp_path, prefix="try")
    assert run.folder.parent == tmp_path
    assert run.folder.name.startswith("try-lr=0.1,root=")
    values = ("--fdl_set=m.lr=0.1", "--fdl_set=data.root='/a b'")
    assert run.command == ("python", "launch.py", "--exp=x", *values, f"--run={run.folder.name}")
    assert list(tmp_path.iterdir()) == []


def test_every_shell_line_starts_its_run_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_folder_with_another_config_raises_an_error_with_the_changes(tmp_path: Path) -> None:
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
def test_a_prefix_that_is_not_a_folder_name_raises_an_error(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(UserError, match="--run="):
        runs_of(tmp_path, ["a"], [1], prefix=prefix)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=60)
    | st.sampled_from(["0", "00", "0.0", "none", "None", "true", "TRUE", "a/b", "a b", "A", "a", "1e-05", "é", "e"])
)
VALUES = SCALARS | st.lists(SCALARS, max_size=4).map(tuple)


def name_of(*values: Any) -> str:
    return folder_name(Assignment(f"data.x{n}", f"x{n}", repr(value)) for n, value in enumerate(values))


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((1e-4, 0), "x0=0.0001,x1=0"),
        (("stretch", None), "x0=stretch,x1=None"),
        (("00", True), "x0=00,x1=True"),
        ((-2.5, 1e-7), "x0=-2.5,x1=1e-07"),
    ],
)
def test_plain_values_are_part_of_the_name(values: tuple[Any, ...], name: str) -> None:
    assert name_of(*values) == name


@pytest.mark.parametrize(
    ("value", "other"),
    [
        *(("0", "00"), (0, "0"), (1.0, "1.0"), (None, "None"), (None, "none"), (True, "true")),
        *(("a/b", "a_b"), ("A", "a"), ("", "/"), ("a,x1=b", "a"), ((48, 48), (48, 49)), ((1,), [1])),
        ("x" * 300 + "1", "x" * 300 + "2"),
    ],
)
def test_similar_values_have_different_names(value: Any, other: Any) -> None:
    assert name_of(value).lower() != name_of(other).lower()
    assert name_of(value, 1).lower() != name_of(other, 1).lower()


@given(st.lists(VALUES, min_size=1, max_size=3), st.lists(VALUES, min_size=1, max_size=3))
@example(values=[None], others=["."])  # Windows removes a dot at the end of a name
def test_names_differ_if_values_do_and_are_valid_on_every_file_system(values: list[Any], others: list[Any]) -> None:
    names = [name_of(*values), name_of(*others)]
    assert (names[0].lower() == names[1].lower()) == (list(map(repr, values)) == list(map(repr, others)))
    for name in names:
        assert re.fullmatch(r"x0=[A-Za-z0-9_+.,=-]+", name)
        assert len(name) < 200
        assert not name.endswith(".")


@given(st.lists(VALUES, min_size=8, max_size=8), st.integers(0, 7))
def test_a_name_of_many_axes_is_short_and_still_unique(values: list[Any], changed: int) -> None:
    others = [*values[:changed], (*values, "changed"), *values[changed + 1 :]]
    assert name_of(*values) != name_of(*others)
    assert max(len(name_of(*values)), len(name_of(*others))) < 200
