"""Plans the runs of a sweep before any is started: the folder and command of each, and whether a folder is taken.

The name of a folder depends on the assignments alone, so the same sweep, or a larger one, finds its folders again.
"""

import ast
import hashlib
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jersey.core.errors import UserError
from jersey.runs.folder import CONFIG, changed_lines, read_config, require_run_name

# Max characters of a value in the name of a folder, and of the name before its prefix; file systems allow 255 bytes.
MAX_VALUE, MAX_NAME = 40, 150

_SAFE = re.compile(r"[a-z0-9_+.-]+")  # without capitals, because some file systems do not distinguish "A" from "a"
# Text that a folder name shows without quotes although it is not a string.
_NOT_A_STRING = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?(e[-+]\d+)?|none|true|false")


@dataclass(frozen=True)
class Assignment:
    """The value of one axis.

    Attributes:
        path: full path of the parameter in the config.
        name: shortest unique ending of the path.
        text: value, as Python text.
    """

    path: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}={self.text}"

    @property
    def override(self) -> str:
        """The value for `--fdl_set`."""
        return f"{self.path}={self.text}"


@dataclass(frozen=True)
class Point:
    """One combination of values.

    Attributes:
        assignments: assignment of each axis.
        config_text: lines `path = value` of the config with these values.
    """

    assignments: tuple[Assignment, ...]
    config_text: str

    def __str__(self) -> str:
        return ", ".join(map(str, self.assignments))


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
        point: its values.
        folder: its folder, which may not exist yet.
        command: words of the command that runs or resumes it.
    """

    point: Point
    folder: Path
    command: tuple[str, ...]


def plan(points: Sequence[Point], *, command: Sequence[str], parent: Path, prefix: str | None = None) -> list[Run]:
    """Returns one run for each point.

    Args:
        points: combinations of values.
        command: words of the command that runs the experiment, without the values of the axes and the run's name.
        parent: folder of the run folders.
        prefix: first part of the names of the runs, which distinguishes sweeps over the same values; None for none.

    Raises:
        UserError: a folder contains a run of another config, or the prefix is not a folder name.
    """
    if prefix is not None:
        require_run_name(prefix)
    names = [(f"{prefix}-" if prefix else "") + folder_name(point.assignments) for point in points]
    runs = [run_of(point, command=command, folder=parent / name) for point, name in zip(points, names, strict=True)]
    assert len({run.folder.name.lower() for run in runs}) == len(runs), "two points share a folder"
    return runs


def run_of(point: Point, *, command: Sequence[str], folder: Path) -> Run:
    """Returns the run of a point in a folder.

    Args:
        point: its values.
        command: words of the command, as for `plan`.
        folder: run folder, which may not exist yet.

    Raises:
        UserError: the folder contains a run of another config.
    """
    overrides = [f"--fdl_set={each.override}" for each in point.assignments]
    run = Run(point, folder, (*command, *overrides, f"--run={folder.name}"))
    _require_same_config(run)
    return run


def shell_lines(runs: Sequence[Run]) -> str:
    """Returns one line of shell per run, which works from any folder."""
    return "".join(f"cd {shlex.quote(str(Path.cwd()))} && {shlex.join(run.command)}\n" for run in runs)


def _require_same_config(run: Run) -> None:
    """Raises UserError if the folder contains a run of another config."""
    config = run.folder / CONFIG
    if config.exists() and (changes := changed_lines(read_config(run.folder), run.point.config_text)):
        raise UserError(
            f"the run {run.folder} has another config ({changes}); start with another --run=NAME, the first part of "
            "the names of runs"
        )


def folder_name(assignments: Iterable[Assignment]) -> str:
    """Returns a unique name such as `lr=0.0001,seed=0`, which is safe in every shell and on every file system."""
    parts = [f"{_safe(each.name)}={_safe(each.text)}" for each in assignments]
    return _cut(",".join(parts), MAX_NAME)


def short_hash(text: str) -> str:
    """Returns the first six hexadecimal digits of the SHA-256 of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _safe(text: str) -> str:
    """Returns the text if it is short and safe in a name, or else as much of it as is safe, with its hash."""
    plain = _without_quotes(text)
    if (_SAFE.fullmatch(plain) and not plain.endswith(".")) or text in ("None", "True", "False"):
        return _cut(plain, MAX_VALUE)
    rough = re.sub(r"[^A-Za-z0-9+.-]+", "_", plain).strip("_")
    return f"{rough[:MAX_VALUE]}-{short_hash(text)}".lstrip("-")


def _without_quotes(text: str) -> str:
    """Removes the quotes of a string such as `'stretch'`; `'0'` and `'None'` keep them, to differ from 0 and None."""
    if text[:1] not in ("'", '"'):
        return text
    plain = ast.literal_eval(text)
    return text if _NOT_A_STRING.fullmatch(plain) else plain


def _cut(text: str, max_length: int) -> str:
    """Shortens a long text and adds its hash, so that different texts stay different."""
    return text if len(text) <= max_length else f"{text[:max_length]}-{short_hash(text)}"
