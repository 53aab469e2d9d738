"""The parent process of a sweep over `stand_in`: `python sweep_process.py FOLDER JOBS TASK,TASK SEED,SEED`."""

import itertools
import logging
import signal
import sys
from pathlib import Path

from helpers import stand_in

from jersey.sweep.plan import Assignment, Point, Run, plan
from jersey.sweep.run import run_sweep


def runs_of(parent: Path, tasks: list[str], seeds: list[int], prefix: str | None = None) -> list[Run]:
    points = [point(repr(task), repr(seed)) for task, seed in itertools.product(tasks, seeds)]
    command = [sys.executable, "-S", stand_in.__file__, str(parent)]
    return plan(points, command=command, parent=parent, prefix=prefix)


def diary(parent: Path, what: str) -> list[str]:
    """Returns the names in the lines of the diary of `stand_in` that begin with `what`, in the order of time."""
    file = parent / "diary.txt"
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return [name for kind, name, _ in lines if kind == what]


def point(task: str, seed: str) -> Point:
    assignments = (Assignment("module.task", "task", task), Assignment("seed", "seed", seed))
    return Point(assignments, stand_in.config_text(task, seed))


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would stay ignored
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder, jobs, tasks, seeds = sys.argv[1:]
    sys.exit(run_sweep(runs_of(Path(folder), tasks.split(","), list(map(int, seeds.split(",")))), jobs=int(jobs)))
