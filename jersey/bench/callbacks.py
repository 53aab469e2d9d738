"""What the callbacks of a run cost, beside its epochs, by Lightning's own profiler.

    python -m jersey.bench.callbacks runs/quickstart/RUN

Does the run of that folder again, in a temporary folder, and adds up the time inside the hooks of each callback: those
inside of epochs, and those at the start of the run, at its end and around the test. Aim's part of a picture is inside
the hook that makes it; a checkpoint is copied there and written by a thread.
"""

import argparse
import functools
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.profilers import SimpleProfiler

from jersey import config as configs
from jersey.cli.commands import config_files
from jersey.core.console import set_up_console
from jersey.core.errors import exit_on_user_error
from jersey.core.tables import aligned
from jersey.lint.checks import load
from jersey.runs.folder import open_run

ONCE = ("setup", "teardown", "on_fit", "on_train_start", "on_train_end", "on_test", "on_load")
"""How the names of hooks outside of epochs begin."""


@dataclass(frozen=True)
class Measured:
    """Seconds by callback, inside of epochs and outside; and of all epochs with their validations."""

    in_epochs_s: dict[str, float]
    once_s: dict[str, float]
    epochs_s: float
    epochs: int


def measure(folder: Path) -> Measured:
    """Does the run again."""
    name, config = load(folder)
    profiler = SimpleProfiler()
    experiment = configs.build(config)
    experiment.trainer = functools.partial(_profiled, experiment.trainer, profiler)
    workdir = Path(tempfile.mkdtemp(prefix="jersey-bench-"))  # stays: Aim hangs when its repository is deleted
    run = open_run(workdir, name, "bench", documents=config_files(name, config))
    experiment.run(run, aim_repo=workdir / ".aim", flat_config=configs.flatten(config))
    in_epochs_s, once_s = sums(profiler.recorded_durations)
    epochs_s = profiler.recorded_durations["run_training_epoch"]
    return Measured(in_epochs_s, once_s, sum(epochs_s), len(epochs_s))


def sums(durations_s: Mapping[str, list[float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds by callback, inside of epochs and outside, from those of a profiler's actions."""
    in_epochs_s: dict[str, float] = defaultdict(float)
    once_s: dict[str, float] = defaultdict(float)
    for action, values_s in durations_s.items():
        kind, _, rest = action.partition("]")
        if kind == "[Callback":
            hook = rest.rpartition(".")[2]
            side = once_s if hook.startswith(ONCE) else in_epochs_s
            side[rest.partition(".")[0].partition("{")[0]] += sum(values_s)
    return in_epochs_s, once_s


def _profiled(make_trainer: Callable[..., L.Trainer], profiler: SimpleProfiler, **arguments: Any) -> L.Trainer:
    trainer = make_trainer(**arguments)
    setattr(trainer, "profiler", profiler)  # noqa: B010  # Lightning declares it in a connector, out of mypy's sight
    return trainer


def main() -> None:
    """Prints a row a callback, and their sum as a share of the epochs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the run to do again")
    with exit_on_user_error():
        set_up_console()
        measured = measure(parser.parse_args().folder)
    inside_s, once_s = measured.in_epochs_s, measured.once_s
    rows = [["callback", "in epochs s", "of the epochs", "once s"]]
    for name in sorted({*inside_s, *once_s}, key=lambda name: -inside_s.get(name, 0.0)):
        seconds = inside_s.get(name, 0.0)
        rows.append([name, f"{seconds:.2f}", f"{seconds / measured.epochs_s:.2%}", f"{once_s.get(name, 0.0):.2f}"])
    share = sum(inside_s.values()) / measured.epochs_s
    rows.append(["all", f"{sum(inside_s.values()):.2f}", f"{share:.2%}", f"{sum(once_s.values()):.2f}"])
    print("\n".join(aligned(rows)))
    facts = {"epochs": measured.epochs, "epochs_s": round(measured.epochs_s, 1), "share": round(share, 4)}
    print(json.dumps({"bench": "callbacks", **facts}))


if __name__ == "__main__":
    main()
