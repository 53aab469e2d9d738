"""Measures the time of a run's callbacks relative to its epochs with Lightning's profiler.

    python -m jersey.bench.callbacks runs/quickstart/RUN

It repeats the run in a temporary folder and sums the time in the hooks of each callback, separately for those inside
of epochs and for those outside: at the start and the end of the run, and around the test. The time in which Aim stores
an image is part of the callback that plots it. Of a checkpoint, only the copy in memory is timed, because a thread
writes the file.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch import Callback
from lightning.pytorch.profilers import SimpleProfiler

from jersey.bench import harness
from jersey.core.tables import format_table

ONCE_PREFIXES = ("setup", "teardown", "on_fit", "on_train_start", "on_train_end", "on_test", "on_load")
"""Prefixes of the hooks that run outside of epochs."""


class ProfileHooks(Callback):
    """Attaches a profiler that times every hook called after its own `setup`."""

    def __init__(self) -> None:
        self.profiler = SimpleProfiler()

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        setattr(trainer, "profiler", self.profiler)  # noqa: B010  # mypy does not see Lightning's declaration


def sum_by_callback(durations_s: Mapping[str, list[float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Returns the seconds of each callback inside of epochs, and those outside of them.

    Args:
        durations_s: seconds of every call by action, as Lightning's `SimpleProfiler` records them.
    """
    in_epochs_s: dict[str, float] = defaultdict(float)
    once_s: dict[str, float] = defaultdict(float)
    for action, values_s in durations_s.items():
        # Such as "[Callback]RunCheckpoint{'monitor': 'val/acc_top1', 'mode': 'max'}.on_train_epoch_end".
        if found := re.fullmatch(r"\[Callback\](\w+).*\.(\w+)", action):
            callback, hook = found.groups()
            seconds = once_s if hook.startswith(ONCE_PREFIXES) else in_epochs_s
            seconds[callback] += sum(values_s)
    return in_epochs_s, once_s


def measure(folder: Path, changes: Sequence[str]) -> dict[str, Any]:
    """Repeats a run and prints one row per callback, relative to the time of its epochs with their validations.

    Args:
        folder: run folder to repeat, such as runs/quickstart/20261121-101500.
        changes: change of its config, such as trainer.epochs=2; may be given several times.
    """
    hooks = ProfileHooks()
    harness.repeat_run(*harness.load_run(folder, changes), harness.workdir(), "bench", hooks=hooks)
    durations_s = hooks.profiler.recorded_durations
    inside_s, once_s = sum_by_callback(durations_s)
    epochs_s = durations_s["run_training_epoch"]
    by_cost = sorted({*inside_s, *once_s}, key=lambda name: -inside_s.get(name, 0.0))
    seconds = [(name, inside_s.get(name, 0.0), once_s.get(name, 0.0)) for name in by_cost]
    rows = [["callback", "inside epochs s", "of the epochs", "outside s"]]
    for name, inside, once in (*seconds, ("total", sum(inside_s.values()), sum(once_s.values()))):
        rows.append([name, f"{inside:.2f}", f"{100 * inside / sum(epochs_s):.2f} %", f"{once:.2f}"])
    print("\n".join(format_table(rows)))
    fraction = sum(inside_s.values()) / sum(epochs_s)
    return {"epochs": len(epochs_s), "epochs_s": round(sum(epochs_s), 1), "fraction": round(fraction, 4)}


if __name__ == "__main__":
    harness.command("callbacks", __doc__, measure)
