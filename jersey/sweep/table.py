"""The tables at the end of a sweep: one row per setting, averaged over seeds, and the metrics of each run."""

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import mean

from jersey.core.tables import format_table, mean_and_spread, read_csv
from jersey.runs.folder import read_status
from jersey.sweep.plan import Assignment, Run

VAL, TEST, TEST_F1 = "val/acc_top1", "test/acc_top1", "test/f1_macro"
SEED = "seed"  # the path of `Experiment.seed`, the only axis that is averaged over
MIN_SEEDS = 3  # with fewer, the standard deviation over seeds is hardly known
FEW_SEEDS = (
    f"Fewer than {MIN_SEEDS} seeds: runs that differ only in their seed have differed by up to 3 points, so smaller"
    " differences are not reliable."
)


@dataclass(frozen=True)
class Result:
    """The metrics of a finished run, as fractions.

    Attributes:
        best_epoch: epoch whose weights were tested and exported, from 0.
        val_top1: top-1 accuracy of these weights on the validation split.
        test_top1: their top-1 accuracy on the test split; None without one.
        test_f1: their macro F1 on the test split; None without one.
    """

    best_epoch: int
    val_top1: float
    test_top1: float | None
    test_f1: float | None


def read_result(folder: Path) -> Result | None:
    """Returns the result of the run in `folder`; None if it is not finished or its files are damaged."""
    try:
        status = read_status(folder)
        if status["stage"] != "finished":
            return None
        with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
            rows = list(read_csv(file))
        best = next(row for row in rows if row["epoch"] == str(status["best_epoch"]))  # the test row is last
        if TEST not in best:  # the data set has no test split
            return Result(status["best_epoch"], float(best[VAL]), None, None)
        test = next(row for row in rows if row[TEST])
        return Result(status["best_epoch"], float(best[VAL]), float(test[TEST]), float(test[TEST_F1]))
    except (OSError, ValueError, TypeError, KeyError, StopIteration, csv.Error):
        return None


def summary(runs: Sequence[Run], results: Sequence[Result | None]) -> str:
    """Returns a table with one row per setting: mean and sample standard deviation over seeds, in percent.

    Args:
        runs: runs of the sweep.
        results: result of each run; None if it has failed.
    """
    groups: dict[tuple[Assignment, ...], list[Result | None]] = {}
    for run, result in zip(runs, results, strict=True):
        setting = tuple(each for each in run.point.assignments if each.path != SEED)
        groups.setdefault(setting, []).append(result)
    finished = {setting: [each for each in group if each is not None] for setting, group in groups.items()}
    best = max((mean(each.val_top1 for each in group) for group in finished.values() if group), default=None)
    names = [each.name for each in runs[0].point.assignments if each.path != SEED]
    rows = [[*names, "runs", "val top-1 %", "test top-1 %", "test macro F1 %"]]
    for setting, group in finished.items():
        failed = len(groups[setting]) - len(group)
        is_best = group and mean(each.val_top1 for each in group) == best
        val = _mean_and_deviation([each.val_top1 for each in group])
        test = _mean_and_deviation([each.test_top1 for each in group if each.test_top1 is not None])
        test_f1 = _mean_and_deviation([each.test_f1 for each in group if each.test_f1 is not None])
        count = f"{len(group)}, {failed} failed" if failed else str(len(group))
        rows.append([*(each.text for each in setting), count, f"{val} *" if is_best else val, test, test_f1])
    notes = ["* best on the validation split"] if best is not None else []
    if min(map(len, finished.values())) < MIN_SEEDS:
        notes.append(FEW_SEEDS)
    return "".join(f"{line}\n" for line in (*format_table(rows), *notes))


def raw_rows(runs: Sequence[Run], results: Sequence[Result | None]) -> tuple[list[str], list[list[str]]]:
    """Returns the header and one row per run with its metrics at full precision, for the arguments of `summary`."""
    names = [each.name for each in runs[0].point.assignments]
    rows = []
    for run, result in zip(runs, results, strict=True):
        outcome = (
            ["failed", "", "", "", ""]
            if result is None
            else ["finished", *("" if cell is None else repr(cell) for cell in astuple(result))]
        )
        rows.append([*(each.text for each in run.point.assignments), run.folder.name, *outcome])
    return [*names, "run", "state", "best_epoch", VAL, TEST, TEST_F1], rows


def _mean_and_deviation(values: list[float]) -> str:
    if not values:
        return "-"
    return mean_and_spread(values) + (" ± -" if len(values) == 1 else "")
