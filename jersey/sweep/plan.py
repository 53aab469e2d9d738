"""The runs of a sweep before any is started: folder and command of each, and what forbids to start them."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jersey.core.errors import UserError
from jersey.runs.folder import CONFIG, changed_lines, read_config
from jersey.sweep.point import Point, folder_name


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Args:
        point: what it changes.
        folder: its run folder, which may not exist yet.
        command: the arguments of a process that does it, or what is left of it.
    """

    point: Point
    folder: Path
    command: tuple[str, ...]


def plan(points: Sequence[Point], *, command: Sequence[str], parent: Path, prefix: str | None = None) -> list[Run]:
    """One run for each point, all in `parent`.

    Args:
        points: of the sweep, in order.
        command: starts a run of the experiment, without the values of the axes and the run's name.
        parent: the folder of the experiment's runs.
        prefix: put before every run's name, to keep apart what would have the same.

    Raises:
        UserError: a folder holds a run of another config, or the prefix is no folder name.
    """
    if prefix is not None:
        _require_plain(prefix)
    runs = [_run(point, command, parent, f"{prefix}-" if prefix else "") for point in points]
    assert len({run.folder.name.lower() for run in runs}) == len(runs), "two points share a folder"
    for run in runs:
        _require_same_config(run)
    return runs


def shell_lines(runs: Sequence[Run]) -> str:
    """A line of shell for each run, which works from any folder; the next line is another run."""
    return "".join(f"cd {shlex.quote(str(Path.cwd()))} && {shlex.join(run.command)}\n" for run in runs)


def _run(point: Point, command: Sequence[str], parent: Path, prefix: str) -> Run:
    name = prefix + folder_name(point.assignments)
    overrides = [f"--fdl_set={each.override}" for each in point.assignments]
    return Run(point, parent / name, (*command, *overrides, f"--run={name}"))


def _require_plain(prefix: str) -> None:
    if not prefix or not prefix.isprintable() or Path(prefix).name != prefix or prefix.startswith("."):
        raise UserError(f"--run={prefix!r} is not a plain folder name; leave out slashes and leading dots")


def _require_same_config(run: Run) -> None:
    known = run.folder / CONFIG
    if known.exists() and (difference := changed_lines(read_config(run.folder), run.point.config_text)):
        raise UserError(
            f"the run {run.folder} has another config ({difference}); start the sweep with --run=NAME, which is put"
            " before the names of its runs"
        )
