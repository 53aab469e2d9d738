"""What the callbacks of a run cost, beside its epochs, by Lightning's own profiler.

    python -m jersey.bench.callbacks runs/quickstart/RUN

Does the run of that folder again, in a temporary folder, and adds up the time inside the hooks of each callback. The
average of the weights, checkpoints and early stopping belong to training; all others only show it. Aim's part of a
picture is inside the hook that makes it.
"""

import argparse
import functools
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.profilers import SimpleProfiler

from jersey import config as configs
from jersey.console import set_up_console
from jersey.errors import exit_on_user_error
from jersey.run_folder import open_run

OF_TRAINING = ("EMA", "RunCheckpoint", "EarlyStopping")


def measure(folder: Path) -> tuple[dict[str, float], float, int]:
    """Seconds of each callback, seconds of all training epochs with their validations, and how many there were."""
    name, config = configs.load(folder)
    profiler = SimpleProfiler()
    experiment = configs.build(config)
    experiment.trainer = functools.partial(_profiled, experiment.trainer, profiler)
    workdir = Path(tempfile.mkdtemp(prefix="jersey-bench-"))  # stays: Aim hangs when its repository is deleted
    run = open_run(workdir, name, "bench", documents=configs.documents(name, config))
    experiment.run(run, aim_repo=workdir / ".aim", flat_config=configs.flatten(config))
    callbacks_s: dict[str, float] = defaultdict(float)
    for action, durations_s in profiler.recorded_durations.items():
        kind, _, hook = action.partition("]")
        callback = hook.partition(".")[0].partition("{")[0]
        if kind == "[Callback" and callback not in OF_TRAINING:
            callbacks_s[callback] += sum(durations_s)
    epochs_s = profiler.recorded_durations["run_training_epoch"]
    return dict(callbacks_s), sum(epochs_s), len(epochs_s)


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
        callbacks_s, epochs_s, epochs = measure(parser.parse_args().folder)
    print(f"{'callback':<22} {'seconds':>9} {'of the epochs':>14}")
    rows = sorted(callbacks_s.items(), key=lambda item: -item[1])
    for name, seconds in [*rows, ("all", sum(callbacks_s.values()))]:
        print(f"{name:<22} {seconds:9.2f} {seconds / epochs_s:14.2%}")
    share = sum(callbacks_s.values()) / epochs_s
    print(
        json.dumps({"bench": "callbacks", "epochs": epochs, "epochs_s": round(epochs_s, 1), "share": round(share, 4)})
    )


if __name__ == "__main__":
    main()
