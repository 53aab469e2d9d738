"""How long a run takes from its imports to the end of its first training step.

    python -m jersey.bench.first_step runs/quickstart/RUN

Starts the run of that folder several times in one process, each time in a new folder and in full: data, audit, Aim,
pictures of the data, network, trainer. The first start may have to decode the crops, later ones find them decoded.
What a run imports late is imported before.
"""

import argparse
import functools
import importlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch import Callback

from jersey import config as configs
from jersey.bench.results import machine
from jersey.cli.commands import config_files
from jersey.core.console import set_up_console
from jersey.core.errors import exit_on_user_error
from jersey.lint.checks import load
from jersey.runs.folder import open_run

IMPORTED_LATE = ("aim", "matplotlib.pyplot", "onnxruntime", "onnx")


class StopAfterOneStep(Callback):
    """Notes the time after the first step, and ends everything."""

    def __init__(self) -> None:
        self.reached_s = 0.0

    def on_train_batch_end(self, *_: Any) -> None:
        self.reached_s = time.perf_counter()
        raise SystemExit


def start(folder: Path, workdir: Path, run_name: str) -> float:
    """Seconds from the config to the end of the first step."""
    name, config = load(folder)
    stop = StopAfterOneStep()
    started = time.perf_counter()
    experiment = configs.build(config)
    experiment.trainer = functools.partial(_stopping, experiment.trainer, stop)
    run = open_run(workdir, name, run_name, documents=config_files(name, config))
    try:
        experiment.run(run, aim_repo=workdir / ".aim", flat_config=configs.flatten(config))
    except SystemExit:
        return stop.reached_s - started
    raise RuntimeError(f"{folder} trains for no step")


def _stopping(make_trainer: Callable[..., L.Trainer], stop: Callback, **arguments: Any) -> L.Trainer:
    trainer = make_trainer(**arguments)
    trainer.callbacks.append(stop)  # type: ignore[attr-defined]  # Lightning sets it in a connector, out of mypy's sight
    return trainer


def main() -> None:
    """Prints the seconds of each start, and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the run to start again")
    parser.add_argument("--starts", type=int, default=4)
    options = parser.parse_args()
    with exit_on_user_error():
        set_up_console()
        for module in IMPORTED_LATE:
            importlib.import_module(module)
        workdir = Path(tempfile.mkdtemp(prefix="jersey-bench-"))  # stays: Aim hangs when its repository is deleted
        seconds = [start(options.folder, workdir, f"start-{number}") for number in range(options.starts)]
    for number, value in enumerate(seconds):
        print(f"start {number}  {value:6.2f} s")
    later = round(statistics.median(seconds[1:] or seconds), 2)
    print(json.dumps({"bench": "first_step", "machine": machine(), "first_s": round(seconds[0], 2), "later_s": later}))


if __name__ == "__main__":
    main()
