"""A process of a search over `stand_in`: `python search_process.py FOLDER JOBS TRIALS TASK,TASK`."""

import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from helpers import stand_in
from helpers.sweep_process import point

from jersey.sweep.plan import Assignment, Point
from jersey.sweep.search import run_search
from jersey.sweep.space import Choices, Range
from jersey.sweep.study import Study

SEEDS = Range("seed", "seed", 1, 99, is_log=False)


def study_of(parent: Path, *, tasks: Sequence[str] = ("a",), trials: int, name: str = "try", **changed: str) -> Study:
    space = [SEEDS, Choices("module.task", "task", tuple(map(repr, tasks)))]
    return Study(name, parent, space=space, trials=trials, **({"config_text": "lr = 1\n"} | changed))


def search(study: Study, *, jobs: int = 1) -> int:
    command = [sys.executable, "-S", stand_in.__file__, str(study.parent)]
    return run_search(study, point_of=point_of, command=command, jobs=jobs)


def point_of(assignments: tuple[Assignment, ...]) -> Point:
    seed, task = assignments
    return Point(assignments, point(task.text, seed.text).config_text)


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would stay ignored
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder, jobs, trials, tasks = sys.argv[1:]
    sys.exit(search(study_of(Path(folder), tasks=tasks.split(","), trials=int(trials)), jobs=int(jobs)))
