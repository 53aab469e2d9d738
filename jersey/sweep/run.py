"""Runs the unfinished runs of a sweep, logs the progress, and prints the table at the end.

Each run has its own process, so its GPU memory is released at its end and a crash does not affect the other runs. Where
there are several GPUs, concurrent runs are distributed over them.
"""

import logging
import math
import os
import signal
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import mean

from jersey.core.atomic import write_text
from jersey.core.distributed import VISIBLE_GPUS, visible_gpus
from jersey.core.errors import UserError
from jersey.core.tables import write_csv
from jersey.sweep.plan import Run, short_hash
from jersey.sweep.process_pool import Child, Stopped, run_children
from jersey.sweep.table import raw_rows, read_result, summary

log = logging.getLogger(__name__)

CONSOLE = "console.log"  # the output of a run, in its folder
THREADS = "OMP_NUM_THREADS"


def run_sweep(runs: Sequence[Run], *, jobs: int) -> int:
    """Runs all unfinished runs, `jobs` at a time, then prints the table and writes it next to the run folders.

    With one job, a run's output goes to the terminal; with several, to `console.log` in its folder.

    Args:
        runs: runs of the sweep, in one parent folder.
        jobs: max number of concurrent runs.

    Returns:
        The exit code: 0, or 1 if runs have failed, or 128 plus the number of the signal that stopped the sweep.

    Raises:
        UserError: the folder for the runs cannot be created.
    """
    parent = runs[0].folder.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create the folder {parent} ({error.strerror}); choose another --workdir") from None
    try:
        failures = _run_unfinished(runs, jobs)
    except Stopped as stop:
        finished = sum(read_result(run.folder) is not None for run in runs)
        log.info(
            "stopped by %s; %d of %d runs are finished, and the same command runs the rest", stop, finished, len(runs)
        )
        return stop.exit_code
    text = _write_tables(runs, parent)
    print("".join([*(f"failed: {failure}\n" for failure in failures), text]), end="", flush=True)
    return 1 if failures else 0


def _run_unfinished(runs: Sequence[Run], jobs: int) -> list[str]:
    """Runs all unfinished runs, and returns a sentence for each that failed."""
    to_do = [(f"run {n} of {len(runs)}", run) for n, run in enumerate(runs, 1) if read_result(run.folder) is None]
    log.info("%d runs, %d of them already finished", len(runs), len(runs) - len(to_do))
    children = [Child(run.command, run.folder / CONSOLE if jobs > 1 else None) for _, run in to_do]
    started: dict[int, float] = {}
    minutes: list[float] = []
    failures: list[str] = []
    remaining = len(to_do)
    with closing(run_children(children, environments=_environments(min(jobs, remaining)))) as events:
        for index, code in events:
            position, run = to_do[index]
            if code is None:
                started[index] = time.monotonic()
                log.info("%s starts: %s", position, run.point)
                continue
            remaining, took = remaining - 1, (time.monotonic() - started[index]) / 60
            # The exit code is not used: a run that finished and then crashed at exit has a result.
            if result := read_result(run.folder):
                minutes.append(took)
                outcome = f"test top-1 {100 * result.test_top1:.1f} %"
            else:
                outcome = f"failed, {_cause(code)}"
                failures.append(f"{run.point}: {_cause(code)}, see {children[index].log or 'its output above'}")
            if remaining and minutes:
                wait = math.ceil(math.ceil(remaining / jobs) * mean(minutes))
                outcome += f"; {remaining} left, about {wait} min"
            log.info("%s ends after %.1f min: %s: %s", position, took, run.point, outcome)
    return failures


def _environments(jobs: int) -> list[dict[str, str]]:
    """Returns the environment of each concurrent run; several divide the cores, and take one GPU each in turn."""
    if jobs < 2:
        return [dict(os.environ)] * jobs
    threads = os.environ.get(THREADS, str(max(1, (os.cpu_count() or 1) // jobs)))
    gpus = visible_gpus()
    places = [{VISIBLE_GPUS: gpus[job % len(gpus)]} if gpus else {} for job in range(jobs)]
    return [{**os.environ, THREADS: threads, **place} for place in places]


def _cause(code: int) -> str:
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
