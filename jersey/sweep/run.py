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
from jersey.sweep.table import Result, raw_rows, read_result, summary

log = logging.getLogger(__name__)

CONSOLE = "console.log"
THREADS = "OMP_NUM_THREADS"


def run_sweep(runs: Sequence[Run], *, jobs: int) -> int:
    """Runs what is not finished, `jobs` at a time, then prints the table and writes it beside the run folders.

    Args:
        runs: from `jersey.sweep.plan.plan`.
        jobs: with one, a run's output goes to the terminal; with several, to `console.log` in its folder.

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
        failures = _Sweep(runs, jobs).run()
    except Stopped as stop:
        finished = sum(read_result(run.folder) is not None for run in runs)
        log.info("stopped by %s; %d of %d runs are finished, the same command continues", stop, finished, len(runs))
        return stop.exit_code
    text = _write_tables(runs, parent)
    print("".join([*(f"failed: {failure}\n" for failure in failures), text]), end="", flush=True)
    return 1 if failures else 0


class _Sweep:
    """The runs on their way, and what is said about them."""

    def __init__(self, runs: Sequence[Run], jobs: int) -> None:
        self._runs = runs
        self._jobs = jobs
        self._to_do = [number for number, run in enumerate(runs, 1) if read_result(run.folder) is None]
        self._left = len(self._to_do)
        self._started: dict[int, float] = {}
        self._minutes: list[float] = []

    def run(self) -> list[str]:
        """Does all runs; returns a sentence for each that failed."""
        log.info("%d runs, %d of them finished already", len(self._runs), len(self._runs) - self._left)
        children = [self._child(self._runs[number - 1]) for number in self._to_do]
        environment = _environment(min(self._jobs, len(children)))
        failures = []
        endings = run_children(children, at_once=self._jobs, environment=environment, on_start=self._on_start)
        with closing(endings):
            for index, code in endings:
                failures.append(self._on_end(index, code))
        return [failure for failure in failures if failure]

    def _child(self, run: Run) -> Child:
        return Child(run.command, run.folder / CONSOLE if self._jobs > 1 else None)

    def _on_start(self, index: int) -> None:
        number = self._to_do[index]
        self._started[index] = time.monotonic()
        log.info("run %d of %d starts: %s", number, len(self._runs), self._runs[number - 1].point)

    def _on_end(self, index: int, code: int) -> str:
        """Tells how a run ended; returns what failed, or nothing."""
        number = self._to_do[index]
        run, minutes = self._runs[number - 1], (time.monotonic() - self._started[index]) / 60
        self._left -= 1
        # Not the exit code: a run that has finished and then crashed on its way out has its result.
        result = read_result(run.folder)
        if result is not None:
            self._minutes.append(minutes)
        outcome = f"test top-1 {100 * result.test_top1:.1f} %" if result else f"failed, {_cause(code)}"
        position = f"run {number} of {len(self._runs)}"
        log.info("%s ends after %.1f min: %s: %s%s", position, minutes, run.point, outcome, self._remaining())
        output = run.folder / CONSOLE if self._jobs > 1 else "its output above"
        return "" if result else f"{run.point}: {_cause(code)}, see {output}"

    def _remaining(self) -> str:
        if not self._left or not self._minutes:
            return ""
        rounds = math.ceil(self._left / self._jobs)
        return f"; {self._left} to go, about {math.ceil(rounds * mean(self._minutes))} min"


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
    results: list[Result | None] = [read_result(run.folder) for run in runs]
    name = f"sweep-{short_hash(' '.join(run.folder.name for run in runs))}"
    text = summary(runs, results)
    write_text(parent / f"{name}.txt", text)
    write_csv(parent / f"{name}.csv", *raw_rows(runs, results))
    return f"{text}Also in {parent / name}.txt, and each run in {name}.csv.\n"
