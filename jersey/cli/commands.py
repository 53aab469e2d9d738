"""What the command `jersey` does with configs: select, change, show, compare, run, sweep and search.

It does not depend on the flags.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import fiddle as fdl

from jersey import config as configs
from jersey.cli.axes import point, search_space, sweep_points
from jersey.cli.flag_texts import require_other
from jersey.config.saved import CONFIG, OtherVersion
from jersey.core.console import set_up_console
from jersey.core.distributed import process_group, visible_gpus, world_size
from jersey.core.errors import UserError
from jersey.lint.checks import check, load
from jersey.lint.effective_diff import effective_diff
from jersey.lint.no_effect import findings
from jersey.lint.simulate import effects
from jersey.runs import signals
from jersey.runs.folder import open_run, require_run_name
from jersey.sweep.plan import plan, shell_lines, short_hash
from jersey.sweep.run import run_sweep
from jersey.sweep.search import run_search
from jersey.sweep.space import point_count
from jersey.sweep.study import Study


def select(
    exp: str | None, saved: str | None, fiddlers: Sequence[str], overrides: Sequence[str]
) -> tuple[str, fdl.Buildable]:
    """Returns the name of an experiment and its config, changed and checked.

    Args:
        exp: name of a registered experiment; not used if `saved` is given.
        saved: run folder or config.json; None if `exp` is given.
        fiddlers: calls of fiddlers, such as "smoke(batches=4)", applied in this order.
        overrides: `path=value` each, applied in this order after all fiddlers.

    Raises:
        UserError: if a change or the changed config is invalid.
    """
    name, config = load(Path(saved)) if saved else (str(exp), configs.get_experiment(str(exp))())
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
    names = configs.experiment_names()
    require_other(other, names)
    return configs.get_experiment(other)() if other in names else load(Path(other))[1]


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
    selection: Sequence[str],
    workdir: str,
    prefix: str | None,
    jobs: int | None,
    only_print: bool,
) -> int:
    """Runs every combination of the axes' values, or prints the commands for that; returns the exit code.

    Args:
        name: name of the experiment.
        config: config that the combinations change.
        axes: `path=value,value` each.
        selection: words of the command that selects and changes the config.
        workdir: folder of all runs.
        prefix: start of the names of the run folders; None without one.
        jobs: number of concurrent runs; None for one on each GPU.
        only_print: whether the commands are printed instead of started.

    Raises:
        UserError: if an axis is invalid, or a folder contains a run of another config.
    """
    command = sweep_command(selection, flag="sweep")
    runs = plan(sweep_points(config, axes), command=command, parent=Path(workdir, name), prefix=prefix)
    if only_print:
        print(shell_lines(runs), end="")
        return 0
    return run_sweep(runs, jobs=job_count(jobs))


def search(
    name: str,
    config: fdl.Buildable,
    dimensions: Sequence[str],
    selection: Sequence[str],
    workdir: str,
    prefix: str | None,
    jobs: int | None,
    trials: int,
    storage: str | None,
) -> int:
    """Runs the trials of a search, beside other processes with the same command; returns the exit code.

    Args:
        name: name of the experiment.
        config: config that the trials change.
        dimensions: `path=log(low,high)`, `path=uniform(low,high)` or `path=value,value` each.
        selection: words of the command that selects and changes the config.
        workdir: folder of all runs.
        prefix: name of the study; None for one that depends on the config and the dimensions.
        jobs: number of concurrent trials of this process; None for one on each GPU.
        trials: number of trials of the study.
        storage: URL of a database for the study; None for a file beside the runs.

    Raises:
        UserError: if a dimension is invalid, or the study has another space or config.
    """
    command = sweep_command(selection, flag="search")
    space, text = search_space(config, dimensions), configs.as_text(config)
    if (points := point_count(space)) < trials:
        raise UserError(f"the search has only {points:,.0f} points; use --sweep, which runs each, or fewer --trials")
    if prefix is not None:
        require_run_name(prefix)
    study = Study(
        prefix or f"search-{short_hash(' '.join(map(str, space)) + text)}",
        Path(workdir, name),
        space=space,
        config_text=text,
        trials=trials,
        storage=storage,
    )
    return run_search(study, point_of=lambda values: point(config, values), command=command, jobs=job_count(jobs))


def sweep_command(selection: Sequence[str], *, flag: str) -> list[str]:
    """Returns the words of the command that runs the experiment, after the checks that sweeps and searches share."""
    if world_size() > 1:
        raise UserError(f"--{flag} starts its own processes; run it without torchrun")
    set_up_console()
    return [sys.executable, str(Path(sys.argv[0]).resolve()), *selection]


def job_count(jobs: int | None) -> int:
    """Returns the number of concurrent runs; None means one on each GPU."""
    return jobs or max(len(visible_gpus()), 1)
