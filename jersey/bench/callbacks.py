"""What the callbacks of a run cost, beside its epochs, by Lightning's own profiler.

    python -m jersey.bench.callbacks runs/quickstart/RUN

Does the run of that folder again, in a temporary folder, and adds up the time inside the hooks of each callback: those
inside of epochs, and those at the start of the run, at its end and around the test. Aim's part of a picture is inside
the hook that makes it; a checkpoint is copied there and written by a thread.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch import Callback
from lightning.pytorch.profilers import SimpleProfiler

from jersey.bench import harness
from jersey.core.tables import format_table

ONCE = ("setup", "teardown", "on_fit", "on_train_start", "on_train_end", "on_test", "on_load")
"""How the names of hooks outside of epochs begin."""


class Profiled(Callback):
    """Lets a profiler time every hook that is called after its own `setup`."""

    def __init__(self) -> None:
        self.profiler = SimpleProfiler()

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        setattr(trainer, "profiler", self.profiler)  # noqa: B010  # Lightning declares it out of mypy's sight


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


def measure(folder: Path, changes: Sequence[str]) -> dict[str, Any]:
    """Does the run again, and prints a row a callback and their sum beside the epochs, validations included."""
    profiled = Profiled()
    harness.repeat_run(*harness.load_run(folder, changes), harness.workdir(), "bench", profiled=profiled)
    durations_s = profiled.profiler.recorded_durations
    inside_s, once_s = sums(durations_s)
    epochs_s = durations_s["run_training_epoch"]
    by_cost = sorted({*inside_s, *once_s}, key=lambda name: -inside_s.get(name, 0.0))
    seconds = [(name, inside_s.get(name, 0.0), once_s.get(name, 0.0)) for name in by_cost]
    rows = [["callback", "in epochs s", "of the epochs", "once s"]]
    for name, inside, once in (*seconds, ("all", sum(inside_s.values()), sum(once_s.values()))):
        rows.append([name, f"{inside:.2f}", f"{inside / sum(epochs_s):.2%}", f"{once:.2f}"])
    print("\n".join(format_table(rows)))
    share = sum(inside_s.values()) / sum(epochs_s)
    return {"epochs": len(epochs_s), "epochs_s": round(sum(epochs_s), 1), "share": round(share, 4)}


if __name__ == "__main__":
    harness.command("callbacks", __doc__, measure)
