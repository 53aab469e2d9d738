"""The table at the end of a sweep: what each run reached, and a row for each setting, its seeds averaged."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from jersey.core.tables import aligned, mean_and_spread
from jersey.runs.folder import read_status
from jersey.sweep.plan import Assignment, Run

VAL, TEST, TEST_F1 = "val/acc_top1", "test/acc_top1", "test/f1_macro"
SEED = "seed"  # the one axis that is averaged over: `Experiment.seed`
ENOUGH_SEEDS = 3
FEW_SEEDS = (
    f"Fewer than {ENOUGH_SEEDS} seeds: runs that differ in nothing else have been seen to spread over 2 points, so"
    " smaller differences mean little."
)


@dataclass(frozen=True)
class Result:
    """The scores of the exported weights, as shares of 1.

    Args:
        best_epoch: the epoch whose weights were tested and exported.
        val_top1: their score in validation.
        test_top1: their score in the test.
        test_f1: their macro F1 in the test.
    """

    best_epoch: int
    val_top1: float
    test_top1: float
    test_f1: float


def read_result(folder: Path) -> Result | None:
    """The result of the run in `folder`; None while it is not finished, or where its files do not tell."""
    try:
        status = read_status(folder)
        if status["stage"] != "finished":
            return None
        with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        best = next(row for row in rows if row["epoch"] == str(status["best_epoch"]))  # the test row is last
        test = next(row for row in rows if row[TEST])
        return Result(status["best_epoch"], float(best[VAL]), float(test[TEST]), float(test[TEST_F1]))
    except (OSError, ValueError, TypeError, KeyError, StopIteration, csv.Error):
        return None


Group = list[Result | None]


def summary(runs: Sequence[Run], results: Sequence[Result | None]) -> str:
    """Mean and sample standard deviation over seeds, in percent, of every setting in the order given.

    Args:
        runs: of the sweep.
        results: of each run; None for one that failed.
    """
    groups = _groups(runs, results)
    means = [_mean_val(group) for group in groups.values()]
    best = max((value for value in means if value is not None), default=None)
    names = [each.name for each in runs[0].point.assignments if each.path != SEED]
    rows = [[*names, "runs", "val top-1 %", "test top-1 %", "test macro F1 %"]]
    for (setting, group), value in zip(groups.items(), means, strict=True):
        marked = " *" if value is not None and value == best else ""
        rows.append([*(each.text for each in setting), *_cells(group, marked)])
    notes = ["* best in validation"] if best is not None else []
    if any(sum(each is not None for each in group) < ENOUGH_SEEDS for group in groups.values()):
        notes.append(FEW_SEEDS)
    return "".join(f"{line}\n" for line in (*aligned(rows), *notes))


def raw_rows(runs: Sequence[Run], results: Sequence[Result | None]) -> tuple[list[str], list[list[str]]]:
    """Header and a row for each run, with its numbers in full."""
    names = [each.name for each in runs[0].point.assignments]
    header = [*names, "run", "state", "best_epoch", VAL, TEST, TEST_F1]
    return header, [_raw_row(run, result) for run, result in zip(runs, results, strict=True)]


def _raw_row(run: Run, result: Result | None) -> list[str]:
    settings = [*(each.text for each in run.point.assignments), run.folder.name]
    if result is None:
        return [*settings, "failed", "", "", "", ""]
    scores = (result.best_epoch, result.val_top1, result.test_top1, result.test_f1)
    return [*settings, "finished", *map(repr, scores)]


def _groups(runs: Sequence[Run], results: Sequence[Result | None]) -> dict[tuple[Assignment, ...], Group]:
    groups: dict[tuple[Assignment, ...], Group] = {}
    for run, result in zip(runs, results, strict=True):
        setting = tuple(each for each in run.point.assignments if each.path != SEED)
        groups.setdefault(setting, []).append(result)
    return groups


def _mean_val(group: Group) -> float | None:
    values = [result.val_top1 for result in group if result is not None]
    return mean(values) if values else None


def _cells(group: Group, marked: str) -> list[str]:
    finished = [result for result in group if result is not None]
    failed = len(group) - len(finished)
    count = f"{len(finished)}, {failed} failed" if failed else str(len(finished))
    val, *test = (
        _spread(values)
        for values in (
            [each.val_top1 for each in finished],
            [each.test_top1 for each in finished],
            [each.test_f1 for each in finished],
        )
    )
    return [count, val + marked, *test]


def _spread(values: list[float]) -> str:
    """`93.3 ± 0.4`; one value has no spread, and none no mean."""
    if not values:
        return "-"
    return mean_and_spread(values) + (" ± -" if len(values) == 1 else "")
