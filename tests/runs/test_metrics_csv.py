"""The metrics file, read with the csv module, as a user would read it."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.countdown import rows_of

from jersey.core.errors import UserError
from jersey.runs.metrics_csv import MetricsCsv


def logged(folder: Path, *calls: tuple[dict[str, float], int]) -> list[tuple[str, ...]]:
    """Returns the rows of the file, including the header, after a process has logged the calls."""
    logger = MetricsCsv(run_dir=folder)
    for metrics, step in calls:
        before = dict(metrics)
        logger.log_metrics(metrics, step=step)
        assert metrics == before, "the caller's metrics must not change"
    rows = rows_of(folder)
    return [tuple(rows[0]), *(tuple(row.values()) for row in rows)]


def test_train_and_val_of_an_epoch_share_a_row_and_columns_are_sorted(tmp_path: Path) -> None:
    calls: Any = [
        ({"val/loss": 0.5, "epoch": 0.0}, 9),
        ({"train/loss": 0.75, "epoch": 0}, 9),
        ({"val/ece": 1, "val/loss": 0.25, "epoch": 1}, 19),
    ]
    assert logged(tmp_path, *calls) == [
        ("epoch", "step", "train/loss", "val/ece", "val/loss"),
        ("0", "9", "0.75", "", "0.5"),
        ("1", "19", "", "1.0", "0.25"),
    ]


def test_values_are_stored_exactly(tmp_path: Path) -> None:
    values = [1 / 3, 1e-17, 123456789.123456789, math.inf, -0.0, float(torch.tensor(0.1))]
    logged(tmp_path, *(({"x": value, "epoch": epoch}, epoch) for epoch, value in enumerate(values)))
    logged(tmp_path, ({"x": math.nan, "epoch": 99}, 99))
    read = [float(row["x"]) for row in rows_of(tmp_path)]
    assert read[:-1] == values
    assert math.isnan(read[-1])


def test_metrics_without_an_epoch_join_the_next_row(tmp_path: Path) -> None:
    first, last = ({"train/loss": 1.0, "epoch": 0}, 5), ({"train/loss": 1.0, "epoch": 1}, 9)
    logged(tmp_path, ({"lr": 0.1}, 0), ({"lr": 0.05}, 4), first, last)
    assert [row["lr"] for row in rows_of(tmp_path)] == ["0.05", ""]


def test_resumed_run_replaces_repeated_rows_and_the_test_is_the_last_row(tmp_path: Path) -> None:
    logged(tmp_path, *(({"val/loss": 0.5 * epoch, "epoch": epoch}, epoch) for epoch in range(3)))
    logged(tmp_path, ({"test/loss": 0.7, "epoch": 3}, 3))
    again: Any = [({"val/loss": 20.0, "epoch": 2}, 2), ({"val/loss": 30.0, "epoch": 3}, 3)]
    assert logged(tmp_path, *again, ({"test/ece": 0.6, "epoch": 4}, 4)) == [
        ("epoch", "step", "test/ece", "val/loss"),
        ("0", "0", "", "0.0"),
        ("1", "1", "", "0.5"),
        ("2", "2", "", "20.0"),
        ("3", "3", "", "30.0"),
        ("3", "3", "0.6", ""),
    ]


def test_test_metrics_without_epochs_have_one_row(tmp_path: Path) -> None:
    assert logged(tmp_path, ({"test/loss": 0.7, "epoch": 0}, 0)) == [("epoch", "step", "test/loss"), ("", "", "0.7")]


@pytest.mark.parametrize(
    "content", ["not,a,metrics\n1,2,3\n", "epoch,step\nfirst,1\n", "epoch,step,x\n0,1,2,3\n", 'epoch,step\n0,"1\n']
)
def test_damaged_file_is_a_clear_error_and_is_not_changed(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.csv").write_text(content)
    with pytest.raises(UserError, match=r"metrics\.csv"):
        MetricsCsv(run_dir=tmp_path)
    assert (tmp_path / "metrics.csv").read_text() == content
