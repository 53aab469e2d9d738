"""What the command `jersey` does, independent of its flags: select, change, show, compare, run and sweep configs."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import fiddle as fdl

from jersey import config as configs
from jersey.cli.axes import sweep_points
from jersey.config.saved import CONFIG, OtherVersion
from jersey.core.console import set_up_console
from jersey.core.distributed import process_group, world_size
from jersey.core.errors import UserError, shorten
from jersey.lint.checks import check, load
from jersey.lint.effective_diff import effective_diff
from jersey.lint.no_effect import findings
from jersey.lint.simulate import effects
from jersey.runs import signals
from jersey.runs.folder import open_run
from jersey.sweep.plan import plan, shell_lines
from jersey.sweep.run import run_sweep


def select(
    exp: str | None, saved: str | None, fiddlers: Sequence[str], overrides: Sequence[str]
) -> tuple[str, fdl.Buildable]:
    """Returns the name of an experiment and its config, changed and checked.

    Args:
        exp: name of a registered experiment; None if `saved` is given.
        saved: run folder or config.json; None if `exp` is given.
        fiddlers: calls of fiddlers, such as "smoke(batches=4)", applied in this order.
        overrides: `path=value` each, applied in this order after all fiddlers.

    Raises:
        UserError: if not exactly one config is selected, or a change or the changed config is invalid.
    """
    if exp and saved:
        raise UserError("--exp and --config both select a config; use one of them")
    if saved:
        name, config = load(Path(saved))
    elif exp:
        name, config = exp, configs.get_experiment(exp)()
    else:
        raise UserError(f"--exp is missing; use one of {', '.join(configs.experiment_names())}")
    for call in fiddlers:
        configs.apply_fiddler(config, call)
    for override in overrides:
        configs.apply_override(config, override)
    check(config)
    return name, config


def load_other(other: str) -> fdl.Buildable:
    """Returns the config of an experiment, of a run folder or of a config.json; an experiment takes precedence.

    Raises:
        UserError: if there is none of these, or the file is not a config.
    """
    try:
        return configs.get_experiment(other)()
    except UserError as unknown:
        with suppress(OSError):  # the text cannot be a file name
            if other and Path(other).exists():
                return load(Path(other))[1]
        raise UserError(f"{unknown}; and there is no run folder or {CONFIG} at {shorten(other)!r}") from None


def config_files(name: str, config: fdl.Buildable) -> dict[str, str]:
    """Returns the texts of a run's config files by file name.

    Args:
        name: name of the experiment; the diff from it is left out if it is not registered.
        config: config of the run.
    """
    texts = {
        "config.txt": configs.as_text(config),
        CONFIG: configs.to_json(config, name),
        "config.py": configs.as_python(config, name),
    }
    if name in configs.experiment_names():
        names = ("registered", "this run")
        texts["config_diff.txt"] = configs.diff(configs.get_experiment(name)(), config, names=names)
    return texts


def show(config: fdl.Buildable) -> None:
    """Prints the config, one line per parameter."""
    print(configs.as_text(config), end="")


def diff(name: str, config: fdl.Buildable, other: str, *, style: Literal["text", "markdown"], simulate: bool) -> int:
    """Prints the differences from another config; returns the exit code, which is 1 if there are any.

    Args:
        name: name of the experiment.
        config: config of the second column.
        other: experiment, run folder or config.json of the first column.
        style: "text" or "markdown".
        simulate: whether the effects of both configs are simulated and compared too.
    """
    other_config = load_other(other)
    names = (other, name) if other != name else ("registered", "changed")
    text = configs.diff(other_config, config, names=names, style=style)
    print(text, end="")
    if text and simulate:
        print("\n" + effective_diff(other_config, config, names=names, style=style), end="")
    return 1 if text else 0


def run(name: str, config: fdl.Buildable, workdir: str, run_name: str | None) -> None:
    """Starts or resumes a run and finishes it, in every process that torchrun has started.

    Args:
        name: name of the experiment.
        config: config of the run.
        workdir: folder of all runs and of the Aim repository.
        run_name: name of the run folder `workdir/name/run_name`; None for a new one.

    Raises:
        UserError: if the folder contains a run of another config or version, or the data or weights are unusable.
    """
    set_up_console()
    if run_name:
        _require_this_version(Path(workdir, name, run_name))
    files = config_files(name, config)
    with signals.handle_signals(), process_group():
        folder = open_run(Path(workdir), name, run_name, config_files=files)
        with folder.removed_on_failed_start():
            fdl.build(config).run(
                folder,
                aim_repo=Path(workdir, ".aim"),
                flat_config=configs.flatten(config),
                description=description_of(name, files.get("config_diff.txt", "")),
                review=lambda splits: findings(effects(config, splits)),
            )


def description_of(name: str, config_diff: str) -> str:
    """Returns the description of a run in Aim: the docstring of its experiment, and the changes of its config.

    Args:
        name: name of the experiment, which need not be registered.
        config_diff: text of the changes; empty if there are none.
    """
    docstring = inspect.getdoc(configs.get_experiment(name)) if name in configs.experiment_names() else None
    return "\n\n".join(filter(None, [docstring, config_diff and f"Config changes:\n{config_diff}"]))


def _require_this_version(folder: Path) -> None:
    """Raises a UserError if another version of the code wrote the run: every line of its config might differ."""
    try:
        load(folder)
    except UserError as error:
        if isinstance(error.__cause__, OtherVersion):  # `open_run` reports other errors
            raise


def sweep(
    name: str,
    config: fdl.Buildable,
    axes: Sequence[str],
    given: Mapping[str, Sequence[str | None]],
    workdir: str,
    prefix: str | None,
    jobs: int,
    only_print: bool,
) -> int:
    """Runs every combination of the axes' values, or prints the commands for that; returns the exit code.

    Args:
        name: name of the experiment.
        config: config that the combinations change.
        axes: `path=value,value` each.
        given: values of each flag that led to `config`, by the flag's name; None if the flag was not given.
        workdir: folder of all runs.
        prefix: start of the names of the run folders; None without one.
        jobs: number of concurrent runs.
        only_print: whether the commands are printed instead of started.

    Raises:
        UserError: if an axis is invalid, or a folder contains a run of another config.
    """
    if world_size() > 1:
        raise UserError("--sweep starts its own processes; run it without torchrun")
    set_up_console()
    words = [f"--{flag}={value}" for flag, values in given.items() for value in values if value is not None]
    command = [sys.executable, str(Path(sys.argv[0]).resolve()), *words, f"--workdir={workdir}"]
    runs = plan(sweep_points(config, axes), command=command, parent=Path(workdir, name), prefix=prefix)
    if only_print:
        print(shell_lines(runs), end="")
        return 0
    return run_sweep(runs, jobs=jobs)
