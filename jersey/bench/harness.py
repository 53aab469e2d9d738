"""What all benches share: the command line, a run done again, times as a table, and the last line of JSON.

Times are taken in turn within rounds (`jersey.core.timing`), so that a slow minute of the machine hits all alike; a
ratio is the median over rounds, with its quartiles.
"""

import argparse
import dataclasses
import functools
import inspect
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from lightning.pytorch import Callback

from jersey import config as configs
from jersey.cli.commands import config_files
from jersey.core.console import set_up_console
from jersey.core.errors import exit_on_user_error
from jersey.core.tables import format_table
from jersey.core.timing import speedup
from jersey.experiment import Experiment
from jersey.lint.checks import check, load
from jersey.runs.folder import open_run

Times = dict[str, list[float]]
"""Seconds by candidate, a value a round."""


def command(name: str, doc: str | None, measure: Callable[..., dict[str, Any]]) -> None:
    """Runs a bench as a command, and exits with 1 if it has not passed a limit of its own.

    Args:
        name: the bench's, in the line of JSON.
        doc: what `--help` says.
        measure: prints its tables and returns the numbers for the line of JSON; its arguments are the command line's.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for parameter in inspect.signature(measure).parameters.values():
        _add_argument(parser, parameter)
    with exit_on_user_error():
        set_up_console()
        numbers = measure(**vars(parser.parse_args()))
    print(json.dumps({"bench": name, "machine": machine(), **numbers}))
    sys.exit(0 if numbers.get("passed", True) else 1)


def _add_argument(parser: argparse.ArgumentParser, parameter: inspect.Parameter) -> None:
    """`folder` is a run's, `changes` are made to its config; all else is an option of its default's type."""
    name, default, options = parameter.name, parameter.default, get_args(parameter.annotation)
    if name == "folder":
        nargs = None if default is parameter.empty else "?"
        parser.add_argument(name, type=Path, nargs=nargs, help="of a run, which is done again")
    elif name == "changes":
        about: dict[str, Any] = {"dest": name, "metavar": "PATH=VALUE", "help": "as --fdl_set of launch.py"}
        parser.add_argument("--set", action="append", default=[], **about)
    elif isinstance(default, tuple):
        parser.add_argument(f"--{name}", nargs="+", type=options[0], default=default)
    else:
        parser.add_argument(f"--{name}", type=type(default), default=default, choices=options or None)


def workdir() -> Path:
    """A new temporary folder for runs. It stays: Aim hangs when its repository is deleted."""
    return Path(tempfile.mkdtemp(prefix="jersey-bench-"))


def load_run(folder: Path, changes: Sequence[str] = ()) -> tuple[str, Any]:
    """The experiment's name and the config of a run folder, changed and checked."""
    name, config = load(folder)
    for change in changes:
        configs.apply_override(config, change)
    check(config)
    return name, config


def with_callbacks(experiment: Experiment, **callbacks: Callback) -> Experiment:
    """The experiment whose trainer calls these first."""
    make_trainer: Any = experiment.trainer  # a partial, as configs have it
    trainer = functools.partial(make_trainer, callbacks={**callbacks, **make_trainer.keywords["callbacks"]})
    return dataclasses.replace(experiment, trainer=trainer)


def repeat_run(name: str, config: Any, parent: Path, run_name: str, **callbacks: Callback) -> None:
    """Does a whole run below `parent`, with more callbacks."""
    run = open_run(parent, name, run_name, config_files=config_files(name, config))
    experiment = with_callbacks(configs.build(config), **callbacks)
    experiment.run(run, aim_repo=parent / ".aim", flat_config=configs.flatten(config))


def tell(title: str, times_s: Mapping[str, list[float]], *, against: str, crops: int) -> dict[str, dict[str, float]]:
    """Prints a row a candidate: its median time, its speed, and that speed beside the one of `against`.

    Each of the times took so many crops. Returns the same for machines.
    """
    rows, numbers = [["", "median ms", "crops/s", f"speed against {against}"]], {}
    for name, values in times_s.items():
        median_s, ratio = statistics.median(values), speedup(times_s[against], values)
        rows.append([name, f"{1000 * median_s:.1f}", f"{crops / median_s:.0f}", str(ratio)])
        of_one = {"median_ms": 1000 * median_s, "speed": ratio.median, "low": ratio.low, "high": ratio.high}
        numbers[name] = {key: round(value, 4) for key, value in of_one.items()}
    print("\n".join([title, *format_table(rows), ""]), flush=True)
    return numbers


def machine() -> str:
    """Where it was measured."""
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    return f"{where}, torch {torch.__version__}"
