"""Does the runs of a sweep that are not finished, tells how far it is, and ends with the table.

Each run is a process of its own: its GPU memory goes with it, and a crash takes nothing else along.
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
from jersey.core.errors import UserError
from jersey.core.tables import write_csv
from jersey.sweep.plan import Run, short_hash
from jersey.sweep.process_pool import Child, Stopped, run_children
from jersey.sweep.table import raw_rows, read_result, summary

log = logging.getLogger(__name__)

CONSOLE = "console.log"
THREADS = "OMP_NUM_THREADS"


def run_sweep(runs: Sequence[Run], *, jobs: int) -> int:
    """Runs what is not finished, `jobs` at a time, then prints the table and writes it beside the run folders.

    With one job, a run's output goes to the terminal; with several, to `console.log` in its folder.

    Returns:
        The exit code: 0, 1 when runs have failed, 128 and the signal's number when one has stopped the sweep.

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
        log.info("stopped by %s; %d of %d runs are finished, the same command continues", stop, finished, len(runs))
        return stop.exit_code
    text = _write_tables(runs, parent)
    print("".join([*(f"failed: {failure}\n" for failure in failures), text]), end="", flush=True)
    return 1 if failures else 0


def _run_unfinished(runs: Sequence[Run], jobs: int) -> list[str]:
    """Tells how each run starts and ends; returns a sentence for each that failed."""
    to_do = [(f"run {n} of {len(runs)}", run) for n, run in enumerate(runs, 1) if read_result(run.folder) is None]
    log.info("%d runs, %d of them finished already", len(runs), len(runs) - len(to_do))
    logs = [run.folder / CONSOLE if jobs > 1 else None for _, run in to_do]
    children = [Child(run.command, file) for (_, run), file in zip(to_do, logs, strict=True)]
    started: dict[int, float] = {}
    minutes: list[float] = []
    failures: list[str] = []
    left = len(to_do)
    with closing(run_children(children, at_once=jobs, environment=_environment(min(jobs, left)))) as events:
        for index, code in events:
            position, run = to_do[index]
            if code is None:
                started[index] = time.monotonic()
                log.info("%s starts: %s", position, run.point)
                continue
            left, took = left - 1, (time.monotonic() - started[index]) / 60
            # Not the exit code: a run that has finished and then crashed on its way out has its result.
            if result := read_result(run.folder):
                minutes.append(took)
                outcome = f"test top-1 {100 * result.test_top1:.1f} %"
            else:
                outcome = f"failed, {_cause(code)}"
                failures.append(f"{run.point}: {_cause(code)}, see {logs[index] or 'its output above'}")
            if left and minutes:
                outcome += f"; {left} to go, about {math.ceil(math.ceil(left / jobs) * mean(minutes))} min"
            log.info("%s ends after %.1f min: %s: %s", position, took, run.point, outcome)
    return failures


def _environment(at_once: int) -> dict[str, str]:
    """This process's variables; several runs share the cores instead of each taking all."""
    if at_once < 2 or THREADS in os.environ:
        return dict(os.environ)
    return {**os.environ, THREADS: str(max(1, (os.cpu_count() or 1) // at_once))}


def _cause(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}" if code else "it ended without scores"


def _write_tables(runs: Sequence[Run], parent: Path) -> str:
    """Writes the summary and the numbers of each run, under a name that no other sweep has; returns the summary."""
    results = [read_result(run.folder) for run in runs]
    name = f"sweep-{short_hash(' '.join(run.folder.name for run in runs))}"
    text = summary(runs, results)
    write_text(parent / f"{name}.txt", text)
    write_csv(parent / f"{name}.csv", *raw_rows(runs, results))
    return f"{text}Also in {parent / name}.txt, and each run in {name}.csv.\n"
