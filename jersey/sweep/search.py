"""Runs the trials of a search in processes, reports their epochs, prunes the worst, and prints the table at the end.

Each trial is a run like any other. The same command, started again or in several processes, continues the same study.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from PIL import Image

from jersey.core.atomic import atomic_write, write_text
from jersey.core.errors import UserError
from jersey.core.tables import format_table, percent, write_csv
from jersey.sweep.plan import Assignment, Point, Run, run_of
from jersey.sweep.process_pool import ProcessPool, Stopped
from jersey.sweep.run import cause, child_of, environments
from jersey.sweep.space import Choices
from jersey.sweep.study import Claim, Study, TrialRow

log = logging.getLogger(__name__)

LOOK_S = 1.0  # between two looks at the epochs of running trials and at trials that other processes have lost
MAX_FAILURES = 3  # in a row and with no success, after which the cause is not in the values
SHOWN = 10  # rows of the printed table; a file has all

PointOf = Callable[[tuple[Assignment, ...]], Point]


class _TooManyFailures(Exception):
    """The trials fail for a reason that is not in their values."""


def run_search(study: Study, *, point_of: PointOf, command: Sequence[str], jobs: int) -> int:
    """Runs trials until the study has all of them, then prints the table and writes it into the study's folder.

    Args:
        study: study, which may have trials of earlier or other processes.
        point_of: function that returns the point of a trial's values, or raises UserError if they are invalid.
        command: words of the command that runs the experiment, without the values and the run's name.
        jobs: max number of concurrent trials of this process.

    Returns:
        The exit code: 0, or 1 if no trial has finished or too many fail, or 128 plus the number of the signal that
        stopped the search.
    """
    ended = sum(row.state not in ("running", "waiting") for row in study.rows())
    log.info("study %s: %d of %d trials have ended", study.folder, ended, study.trials)
    try:
        _run_trials(study, point_of, command, jobs)
    except Stopped as stop:
        log.info("stopped by %s; the same command goes on with the study %s", stop, study.folder)
        return stop.exit_code
    except _TooManyFailures:
        log.error(
            "stopped after %d failures in a row, see the last one above; the same command goes on once it is mended",
            MAX_FAILURES,
        )
        return 1
    print(_write_results(study), end="", flush=True)
    return 0 if any(row.state == "finished" for row in study.rows()) else 1


def _run_trials(study: Study, point_of: PointOf, command: Sequence[str], jobs: int) -> None:
    running: dict[int, tuple[Claim, Run, float]] = {}
    failures, look_s = 0, 0.0
    with ProcessPool(environments(jobs)) as pool:
        while True:
            if time.monotonic() >= look_s:
                look_s = time.monotonic() + LOOK_S
                for number, (claim, _, _) in running.items():
                    if not claim.is_pruned and study.report(claim):
                        claim.is_pruned = True
                        pool.terminate(number)
                while pool.has_room and (claimed := study.claim()) is not None:
                    if (run := _run_of(study, claimed, point_of, command)) is not None:
                        log.info("%s starts: %s", claimed.run, run.point)
                        running[pool.start(child_of(run, jobs))] = claimed, run, time.monotonic()
                if pool.is_idle and study.is_done():
                    return
            for number, code in pool.ended():
                claim, run, started_s = running.pop(number)
                row = study.settle(claim, cause=_failure(run, code, jobs), was_killed=code < 0)
                minutes = (time.monotonic() - started_s) / 60
                log.info("%s ends after %.1f min: %s: %s", row.run, minutes, run.point, _outcome(row))
                failures = failures + 1 if row.state == "failed" else 0
                look_s = 0.0
            if failures >= MAX_FAILURES and not any(row.state == "finished" for row in study.rows()):
                raise _TooManyFailures


def _run_of(study: Study, claim: Claim, point_of: PointOf, command: Sequence[str]) -> Run | None:
    """Returns the run of a trial; None if its values cannot be combined, which is its failure."""
    try:
        return run_of(point_of(claim.assignments), command=command, folder=study.parent / claim.run)
    except UserError as error:
        study.settle(claim, cause=str(error), was_killed=False)
        log.warning("%s fails: %s", claim.run, error)
        return None


def _failure(run: Run, code: int, jobs: int) -> str:
    return f"{cause(code)}, see {child_of(run, jobs).log or 'its output above'}"


def _outcome(row: TrialRow) -> str:
    val = "" if row.val_top1 is None else f", val top-1 {percent(row.val_top1)}"
    after = f" after epoch {row.epochs}" if row.state == "pruned" else ""
    return f"{row.state}{after}{val}{f', {row.reason}' if row.reason else ''}"


def _write_results(study: Study) -> str:
    """Writes table, metrics and plot into the study's folder, and returns the table with what follows from it."""
    from jersey.plots.search import MARKERS  # matplotlib takes a second

    best_first = sorted(study.rows(), key=lambda row: (row.state != "finished", -(row.val_top1 or 0)))
    header = ["run", *(each.name for each in study.space), "state", "epochs", "val top-1", "test top-1"]
    cells = [
        [row.run, *(each.text for each in row.assignments), row.state, str(row.epochs), *map(_score, _scores(row))]
        for row in best_first
    ]
    lines = format_table([header, *cells[:SHOWN]])
    if len(cells) > SHOWN:
        lines.append(f"and {len(cells) - SHOWN} more in {study.folder / 'trials.csv'}")
    if importances := study.importances():
        lines.append("importance: " + ", ".join(f"{name} {percent(each)}" for name, each in importances.items()))
    if best_first[0].state == "finished":
        lines.append("The best of many trials looks better on the validation split than it is; see its test top-1.")
        lines.append(f"The best config: --config={study.parent / best_first[0].run}")
    text = "".join(f"{line}\n" for line in lines)
    write_text(study.folder / "trials.txt", text)
    header = ["run", *(each.name for each in study.space), "state", "epochs", "val/acc_top1", "test/acc_top1", "reason"]
    raw = [
        [row.run, *(each.text for each in row.assignments), row.state, row.epochs, *_scores(row), row.reason]
        for row in best_first
    ]
    write_csv(study.folder / "trials.csv", header, raw)
    if scored := {row: row.val_top1 for row in best_first if row.val_top1 is not None and row.state in MARKERS}:
        with atomic_write(study.folder / "trials.png") as path:
            _plot(study, scored).save(path)
    return f"{text}These trials are also in {study.folder}: trials.csv, trials.txt{', trials.png' if scored else ''}.\n"


def _plot(study: Study, scored: Mapping[TrialRow, float]) -> Image.Image:
    from jersey.plots.search import Panel, search_plot

    panels = []
    for index, each in enumerate(study.space):
        texts = [row.assignments[index].text for row in scored]
        if isinstance(each, Choices):
            panels.append(Panel(each.name, [float(each.texts.index(text)) for text in texts], each.texts))
        else:
            panels.append(Panel(each.name, list(map(float, texts)), is_log=each.is_log))
    return search_plot(list(scored.values()), [row.state for row in scored], panels, title=study.name)


def _scores(row: TrialRow) -> tuple[float | None, float | None]:
    return row.val_top1, row.test_top1


def _score(score: float | None) -> str:
    return "-" if score is None else percent(score)
