"""Runs the unfinished runs of a sweep, logs the progress, and prints the table at the end.

Each run has its own process, so its GPU memory is released at its end and a crash does not affect the other runs. Where
there are several GPUs, concurrent runs are distributed over them.
"""

import logging
import math
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean

from jersey.core.atomic import create_folder, write_text
from jersey.core.distributed import VISIBLE_GPUS, visible_gpus
from jersey.core.tables import write_csv
from jersey.sweep.plan import Run, short_hash
from jersey.sweep.process_pool import Child, ProcessPool, Stopped
from jersey.sweep.table import raw_rows, read_result, summary

log = logging.getLogger(__name__)

CONSOLE = "console.log"  # the output of a run, in its folder
THREADS = "OMP_NUM_THREADS"


def run_sweep(runs: Sequence[Run], *, jobs: int, tables: Callable[[Sequence[Run]], str] | None = None) -> int:
    """Runs all unfinished runs, `jobs` at a time, then writes tables and prints their text.

    With one job, a run's output goes to the terminal; with several, to `console.log` in its folder.

    Args:
        runs: runs of the sweep, in one parent folder.
        jobs: max number of concurrent runs.
        tables: function that writes the tables and returns their text, called if all runs have finished; None
            for means over seeds, written next to the run folders even if some have failed.

    Returns:
        The exit code: 0, or 1 if runs have failed, or 128 plus the number of the signal that stopped the sweep.

    Raises:
        UserError: the folder for the runs cannot be created.
    """
    parent = runs[0].folder.parent
    create_folder(parent, remedy="choose another --workdir")
    try:
        failures = _run_unfinished(runs, jobs)
    except Stopped as stop:
        finished = sum(read_result(run.folder) is not None for run in runs)
        log.info(
            "stopped by %s; %d of %d runs are finished, and the same command runs the rest", stop, finished, len(runs)
        )
        return stop.exit_code
    text = _write_tables(runs, parent) if tables is None else "" if failures else tables(runs)
    print("".join([*(f"failed: {failure}\n" for failure in failures), text]), end="", flush=True)
    return 1 if failures else 0


def _run_unfinished(runs: Sequence[Run], jobs: int) -> list[str]:
    """Runs all unfinished runs, and returns a sentence for each that failed."""
    to_do = [(f"run {n} of {len(runs)}", run) for n, run in enumerate(runs, 1) if read_result(run.folder) is None]
    log.info("%d runs, %d of them already finished", len(runs), len(runs) - len(to_do))
    waiting, started_s = deque(to_do), dict[int, float]()
    minutes: list[float] = []
    failures: list[str] = []
    with ProcessPool(environments(min(jobs, len(to_do)))) as pool:
        while waiting or not pool.is_idle:
            if waiting and pool.has_room:
                position, run = waiting.popleft()
                log.info("%s starts: %s", position, run.point)
                started_s[pool.start(child_of(run, jobs))] = time.monotonic()
                continue
            for number, code in pool.ended():
                position, run = to_do[number]
                took = (time.monotonic() - started_s.pop(number)) / 60
                # The exit code is not used: a run that finished and then crashed at exit has a result.
                if result := read_result(run.folder):
                    minutes.append(took)
                    split, top1 = ("val", result.val_top1) if result.test_top1 is None else ("test", result.test_top1)
                    outcome = f"{split} top-1 {100 * top1:.1f} %"
                else:
                    outcome = f"failed, {cause(code)}"
                    failures.append(f"{run.point}: {cause(code)}, see {child_of(run, jobs).log or 'its output above'}")
                remaining = len(waiting) + len(started_s)
                if remaining and minutes:
                    wait = math.ceil(math.ceil(remaining / jobs) * mean(minutes))
                    outcome += f"; {remaining} left, about {wait} min"
                log.info("%s ends after %.1f min: %s: %s", position, took, run.point, outcome)
    return failures


def child_of(run: Run, jobs: int) -> Child:
    """Returns the process of a run; if several are concurrent, its output goes to `console.log` in its folder."""
    return Child(run.command, run.folder / CONSOLE if jobs > 1 else None)


def environments(jobs: int) -> list[dict[str, str]]:
    """Returns the environment of each concurrent run; several divide the cores, and take one GPU each in turn."""
    if jobs < 2:
        return [dict(os.environ)] * jobs
    threads = os.environ.get(THREADS, str(max(1, (os.cpu_count() or 1) // jobs)))
    gpus = visible_gpus()
    if gpus and len(gpus) < jobs:
        log.info("%d jobs share %d GPUs", jobs, len(gpus))
    places = [{VISIBLE_GPUS: gpus[job % len(gpus)]} if gpus else {} for job in range(jobs)]
    return [{**os.environ, THREADS: threads, **place} for place in places]


def cause(code: int) -> str:
    """Describes why a run has no result, by the exit code of its process."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}" if code else "no metrics were written"


def _write_tables(runs: Sequence[Run], parent: Path) -> str:
    """Writes both tables into `parent`, and returns the summary with the names of the files."""
    results = [read_result(run.folder) for run in runs]
    name = f"sweep-{short_hash(' '.join(run.folder.name for run in runs))}"
    text = summary(runs, results)
    write_text(parent / f"{name}.txt", text)
    write_csv(parent / f"{name}.csv", *raw_rows(runs, results))
    return f"{text}The table is saved as {parent / name}.txt, and the metrics of each run in {name}.csv.\n"
