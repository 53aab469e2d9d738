"""The verbs of `launch.py`, free of flags: choose a config, change it, show it, compare it, run it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import fiddle as fdl

from jersey.config import registry, saved
from jersey.config.diff import difference, find
from jersey.config.load_other import documents
from jersey.config.overrides import apply_fiddler, apply_override
from jersey.config.show import flatten
from jersey.core.console import set_up_console
from jersey.core.distributed import joined, world_size
from jersey.core.errors import UserError
from jersey.lint.checks import check
from jersey.lint.effective_diff import effective_difference
from jersey.lint.no_effect import findings
from jersey.runs import signals
from jersey.runs.folder import open_run
from jersey.sweep.axes import sweep_points
from jersey.sweep.plan import plan, shell_lines
from jersey.sweep.run import run_sweep


def select(exp: str | None, config: str | None) -> tuple[str, fdl.Buildable]:
    """The name and the config of an experiment, or of a saved run (its folder or its config.json)."""
    if exp and config:
        raise UserError("--exp and --config both name a config; give one of them")
    if config:
        return saved.load(Path(config))
    if not exp:
        raise UserError(f"--exp is missing; choose one of {', '.join(registry.experiment_names())}")
    return exp, registry.get_experiment(exp)()


def change(config: fdl.Buildable, fiddlers: Sequence[str], overrides: Sequence[str]) -> None:
    """Applies all fiddlers, then all overrides, each in the order given, then checks the outcome."""
    for call in fiddlers:
        apply_fiddler(config, call)
    for override in overrides:
        apply_override(config, override)
    check(config)


def diff(name: str, config: fdl.Buildable, other: str, *, style: Literal["text", "markdown"], effective: bool) -> int:
    """Prints what differs from `other`; returns the exit code, 1 when anything does."""
    other_name, other_config = find(other)
    names = (other_name, name) if other_name != name else ("registered", "changed")
    text = difference(other_config, config, names=names, style=style)
    print(text, end="")
    if text and effective:
        print("\n" + effective_difference(other_config, config, names=names, style=style), end="")
    return 1 if text else 0


def run(name: str, config: fdl.Buildable, workdir: Path, run_name: str | None) -> None:
    """Starts or continues a run, and does all of it, with all processes that torchrun has started."""
    set_up_console()
    with signals.on_signals(), joined():
        folder = open_run(workdir, name, run_name, documents=documents(name, config))
        fdl.build(config).run(
            folder,
            aim_repo=workdir / ".aim",
            flat_config=flatten(config),
            review=functools.partial(findings, config),
        )


def sweep(
    name: str,
    config: fdl.Buildable,
    axes: Sequence[str],
    command: Sequence[str],
    workdir: Path,
    prefix: str | None,
    jobs: int | None,
) -> int:
    """Runs every combination of the axes' values, or prints the commands that would.

    Args:
        name: of the experiment.
        config: after all other changes.
        axes: `path=value,value,...`.
        command: starts a run of `config` under `workdir`; values and the run's name are put behind.
        workdir: the folder of all runs.
        prefix: put before the name of each run; None for none.
        jobs: runs at a time; None to print.

    Returns:
        The exit code.
    """
    if world_size() > 1:
        raise UserError("--sweep starts processes of its own; leave out torchrun")
    set_up_console()
    runs = plan(sweep_points(config, axes), command=command, parent=workdir / name, prefix=prefix)
    if jobs is None:
        print(shell_lines(runs), end="")
        return 0
    return run_sweep(runs, jobs=jobs)
