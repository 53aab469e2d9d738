"""What a finished run of a sweep reached, read back from its folder."""

import csv
from dataclasses import dataclass
from pathlib import Path

from jersey.runs.folder import read_status

VAL, TEST, TEST_F1 = "val/acc_top1", "test/acc_top1", "test/f1_macro"


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
