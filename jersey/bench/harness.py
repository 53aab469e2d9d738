"""The parts that all benchmarks share: command line, repeated runs, tables of times, and the last line of JSON.

Candidates take turns within rounds (`jersey.core.timing`), so that a slow minute of the machine affects all of them. A
speed ratio is the median of the ratios of all rounds, with its quartiles.
"""

import dataclasses
import functools
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback

from jersey import config as configs
from jersey.cli.commands import config_files
from jersey.core.command_line import parser_for
from jersey.core.console import set_up_console
from jersey.core.errors import exit_on_user_error
from jersey.core.tables import format_table
from jersey.core.timing import speedup
from jersey.experiment import Experiment
from jersey.lint.checks import check, load
from jersey.runs.folder import open_run

Times = dict[str, list[float]]
"""Seconds by candidate, one value per round."""


def command(name: str, doc: str | None, measure: Callable[..., dict[str, Any]]) -> None:
    """Runs a benchmark as a command; exits with code 1 if it misses a limit that it sets itself.

    Args:
        name: module of the benchmark in `jersey.bench`, and its name in the line of JSON.
        doc: docstring of the module, which `--help` shows.
        measure: function that prints tables and returns the numbers of the line of JSON; its parameters become the
            arguments of the command (see `parser_for`).
    """
    with exit_on_user_error():
        set_up_console()
        numbers = measure(**vars(parser_for(f"jersey.bench.{name}", doc, measure).parse_args()))
    print(json.dumps({"bench": name, "machine": machine(), **numbers}))
    sys.exit(0 if numbers.get("passed", True) else 1)


def workdir() -> Path:
    """Creates a temporary folder for runs. It is not deleted, because Aim hangs without its repository."""
    return Path(tempfile.mkdtemp(prefix="jersey-bench-"))


def load_run(folder: Path, changes: Sequence[str] = ()) -> tuple[str, Any]:
    """Returns the experiment's name and the config of a run folder, changed and checked.

    Args:
        folder: run folder, or its config.json.
        changes: overrides `path=value`.

    Raises:
        UserError: if the folder has no config, or a change or the changed config is invalid.
    """
    name, config = load(folder)
    for change in changes:
        configs.apply_override(config, change)
    check(config)
    return name, config


def with_callbacks(experiment: Experiment, **callbacks: Callback) -> Experiment:
    """Returns the experiment with these callbacks in front of its own."""
    make_trainer: Any = experiment.trainer  # every config has a partial here
    trainer = functools.partial(make_trainer, callbacks={**callbacks, **make_trainer.keywords["callbacks"]})
    return dataclasses.replace(experiment, trainer=trainer)


def repeat_run(name: str, config: Any, parent: Path, run_name: str, **callbacks: Callback) -> None:
    """Runs a config with additional callbacks.

    Args:
        name: name of the experiment.
        config: config of the experiment.
        parent: folder in which the run folder `name/run_name` and the Aim repository are created.
        run_name: name of the new run folder.
        callbacks: callbacks by name, which are called before those of the config.
    """
    run = open_run(parent, name, run_name, config_files=config_files(name, config))
    experiment = with_callbacks(configs.build(config), **callbacks)
    experiment.run(run, aim_repo=parent / ".aim", flat_config=configs.flatten(config))


def print_speeds(
    title: str, times_s: Mapping[str, list[float]], *, baseline: str, crops: int
) -> dict[str, dict[str, float]]:
    """Prints one row per candidate: median time, speed, and speed relative to `baseline`; returns the same numbers.

    Args:
        title: line above the table.
        times_s: seconds by candidate, one value per round.
        baseline: candidate with which the others are compared.
        crops: number of crops that are processed in each of the times.
    """
    rows, numbers = [["", "median ms", "crops/s", f"speed relative to {baseline}"]], {}
    for name, values in times_s.items():
        median_s, ratio = statistics.median(values), speedup(times_s[baseline], values)
        rows.append([name, f"{1000 * median_s:.1f}", f"{crops / median_s:.0f}", str(ratio)])
        summary = {"median_ms": 1000 * median_s, "speed": ratio.median, "low": ratio.low, "high": ratio.high}
        numbers[name] = {key: round(value, 4) for key, value in summary.items()}
    print("\n".join([title, *format_table(rows), ""]), flush=True)
    return numbers


def machine() -> str:
    """Describes the device and the version of torch."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    return f"{device}, torch {torch.__version__}"
