"""Measures the start of commands, and the time of a run until the end of its first training step.

    python -m jersey.bench.startup [runs/quickstart/RUN]

Run it in the repository root. Every round starts each command once, in turn, and also a process that only imports
torch, torchvision and Lightning. "First prediction" is the import of `Predictor`, and one crop for the pretrained
reader, on one thread and without torch. `added s` is the median time that a command takes longer than the process with
the libraries in the same round, and `spread s` is the range of that difference.

If a run folder is given, its run is then started several times in one process, each time in a new folder and with all
stages up to the first step: data, audit, Aim, images of the data, network, trainer. The first start may have to decode
the crops; later ones find them decoded. Modules that a run imports late are imported before the first start.
"""

import importlib
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback

from jersey.bench import harness
from jersey.core.tables import format_table

LIBRARIES = "import torch, torchvision, lightning"
PREDICTION = """import numpy; from jersey.inference import Predictor
Predictor(threads=1).predict(numpy.zeros((64, 64, 3), "uint8"))"""
COMMANDS = {
    "libraries": ["-c", LIBRARIES],
    "first prediction": ["-c", PREDICTION],
    "--list": ["launch.py", "--list"],
    "--print_config": ["launch.py", "--exp=resnet18_baseline", "--print_config"],
    "--diff": ["launch.py", "--exp=resnet50_baseline", "--diff=resnet18_baseline"],
}
IMPORTED_LATE = ("aim", "matplotlib.pyplot", "onnxruntime", "onnx")
STARTS = 4  # of the run: the first, and three for a median


class StopAfterOneStep(Callback):
    """Records the time of the end of the first training step, then exits.

    Attributes:
        reached_s: that time, on the clock of `time.perf_counter`.
    """

    def __init__(self) -> None:
        self.reached_s = 0.0

    def on_train_batch_end(self, *_: Any) -> None:
        self.reached_s = time.perf_counter()
        raise SystemExit


def first_step_s(folder: Path, parent: Path, run_name: str) -> float:
    """Repeats the run of `folder` as `parent/EXPERIMENT/run_name` until the end of its first training step.

    Returns:
        The seconds from the loaded config to that end.
    """
    name, config = harness.load_run(folder)
    stop, started = StopAfterOneStep(), time.perf_counter()
    try:
        harness.repeat_run(name, config, parent, run_name, stop=stop)
    except SystemExit:
        return stop.reached_s - started
    raise RuntimeError(f"the run {folder} has no training step")


def commands_s(rounds: int) -> harness.Times:
    """Returns the seconds of each command, one value per round, after a round that warms the disk cache."""
    times_s: harness.Times = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):
        for name, arguments in COMMANDS.items():
            started = time.perf_counter()
            done = subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=False)
            times_s[name].append(time.perf_counter() - started)
            if done.returncode not in (0, 1):  # 1: --diff has found a difference
                raise RuntimeError(f"{' '.join(arguments)} failed with exit code {done.returncode}")
    return {name: values[1:] for name, values in times_s.items()}


def measure(folder: Path | None = None, rounds: int = 5) -> dict[str, Any]:
    """Prints one row per command, and the seconds of each start of the run.

    Args:
        folder: run folder to start as well, such as runs/quickstart/20261121-101500; by default only commands.
        rounds: number of timed starts of each command, such as 9.
    """
    times_s = commands_s(rounds)
    rows, result = [["command", "median s", "added s", "spread s"]], {}
    for name, values in times_s.items():
        added = [value - base for value, base in zip(values, times_s["libraries"], strict=True)]
        median_s, added_s, spread_s = statistics.median(values), statistics.median(added), max(added) - min(added)
        row = {"median_s": median_s, "added_s": added_s, "spread_s": spread_s}
        result[name] = {key: round(value, 2) for key, value in row.items()}
        rows.append([name, *(f"{value:.2f}" for value in row.values())])
    print("\n".join(format_table(rows)))
    numbers: dict[str, Any] = {"libraries": LIBRARIES, "commands": result}
    if folder:
        for module in IMPORTED_LATE:
            importlib.import_module(module)
        parent = harness.workdir()
        first, *later = (first_step_s(folder, parent, f"start-{start}") for start in range(STARTS))
        print(f"\nfirst step after {first:.2f} s, then {', '.join(f'{value:.2f}' for value in later)} s")
        numbers |= {"first_step_s": round(first, 2), "later_step_s": round(statistics.median(later), 2)}
    return numbers


if __name__ == "__main__":
    harness.command("startup", __doc__, measure)
