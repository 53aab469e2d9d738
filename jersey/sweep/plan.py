"""The runs of a sweep before any is started: what each changes, its folder and command, and what forbids to start them.

The name of a folder is a function of the assignments alone. The same sweep again, or a larger one, therefore finds its
folders.
"""

import ast
import hashlib
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jersey.core.errors import UserError
from jersey.runs.folder import CONFIG, changed_lines, read_config

LONGEST_VALUE, LONGEST_NAME = 40, 150

_SAFE = re.compile(r"[a-z0-9_+.-]+")  # no capitals: to some file systems "A" and "a" are one name
_LIKE_NO_TEXT = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?(e[-+]\d+)?|none|true|false")


@dataclass(frozen=True)
class Assignment:
    """The value of one axis: the full path of its parameter, the shortest ending of that, and the override's text."""

    path: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}={self.text}"

    @property
    def override(self) -> str:
        """What `--fdl_set` takes."""
        return f"{self.path}={self.text}"


@dataclass(frozen=True)
class Point:
    """One run's value for each axis, in order, and the flat print of its whole config, which identifies it."""

    assignments: tuple[Assignment, ...]
    config_text: str

    def __str__(self) -> str:
        return ", ".join(map(str, self.assignments))


@dataclass(frozen=True)
class Run:
    """One run of a sweep: what it changes, its folder, which may not exist yet, and the command that does it."""

    point: Point
    folder: Path
    command: tuple[str, ...]


def plan(points: Sequence[Point], *, command: Sequence[str], parent: Path, prefix: str | None = None) -> list[Run]:
    """One run for each point, all in `parent`, named with the prefix to keep apart what would have the same name.

    `command` starts a run of the experiment, without the values of the axes and the run's name.

    Raises:
        UserError: a folder holds a run of another config, or the prefix is no folder name.
    """
    if prefix is not None and (
        not prefix or not prefix.isprintable() or Path(prefix).name != prefix or prefix.startswith(".")
    ):
        raise UserError(f"--run={prefix!r} is not a plain folder name; leave out slashes and leading dots")
    runs = []
    for point in points:
        name = (f"{prefix}-" if prefix else "") + folder_name(point.assignments)
        overrides = [f"--fdl_set={each.override}" for each in point.assignments]
        runs.append(Run(point, parent / name, (*command, *overrides, f"--run={name}")))
        _require_same_config(runs[-1])
    assert len({run.folder.name.lower() for run in runs}) == len(runs), "two points share a folder"
    return runs


def shell_lines(runs: Sequence[Run]) -> str:
    """A line of shell for each run, which works from any folder; the next line is another run."""
    return "".join(f"cd {shlex.quote(str(Path.cwd()))} && {shlex.join(run.command)}\n" for run in runs)


def _require_same_config(run: Run) -> None:
    known = run.folder / CONFIG
    if known.exists() and (difference := changed_lines(read_config(run.folder), run.point.config_text)):
        raise UserError(
            f"the run {run.folder} has another config ({difference}); start the sweep with --run=NAME, which is put"
            " before the names of its runs"
        )


def folder_name(assignments: Iterable[Assignment]) -> str:
    """`lr=0.0001,seed=0`: safe in every shell and on every file system, and different for different assignments."""
    parts = [f"{_safe(each.name)}={_safe(each.text)}" for each in assignments]
    return _cut(",".join(parts), LONGEST_NAME)


def short_hash(text: str) -> str:
    """Six hexadecimal digits that stand for `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _safe(text: str) -> str:
    """`text` in safe characters, with a hash behind it where that loses something."""
    plain = _without_quotes(text)
    if _SAFE.fullmatch(plain) or text in ("None", "True", "False"):
        return _cut(plain, LONGEST_VALUE)
    rough = re.sub(r"[^A-Za-z0-9+.-]+", "_", plain).strip("_")
    return f"{rough[:LONGEST_VALUE]}-{short_hash(text)}".lstrip("-")


def _without_quotes(text: str) -> str:
    """A text such as `'stretch'` without its quotes; `'0'` and `'None'` keep them, being neither 0 nor None."""
    if text[:1] not in ("'", '"'):
        return text
    plain = ast.literal_eval(text)
    return text if _LIKE_NO_TEXT.fullmatch(plain) else plain


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}-{short_hash(text)}"
