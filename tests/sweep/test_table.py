"""The tables of a sweep: means over seeds, failed runs, the warning about few seeds, and the source of the metrics."""

import json
from pathlib import Path

import pytest
from helpers import stand_in

from jersey.sweep.plan import Assignment, Point, Run
from jersey.sweep.table import FEW_SEEDS, Result, raw_rows, read_result, summary

LR, SEED, DATA_SEED = "module.lr", "seed", "data.generate.seed"


def run(**values: float) -> Run:
    paths = {"lr": LR, "seed": SEED, "data_seed": DATA_SEED}
    assignments = tuple(Assignment(paths[name], name, repr(value)) for name, value in values.items())
    return Run(Point(assignments, ""), Path("exp") / f"run{values}", ())


def result(val: float, test: float = 0.5, f1: float = 0.25) -> Result:
    return Result(3, val, test, f1)


def cells(text: str) -> list[list[str]]:
    """Returns the cells of each line of the table, the header first."""
    lines = [line for line in text.splitlines() if line not in (FEW_SEEDS, "* best on the validation split")]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_seeds_are_averaged_with_their_sample_deviation_in_the_given_order() -> None:
    runs = [run(lr=lr, seed=seed) for lr in (0.3, 0.1) for seed in (0, 1, 2)]
    results = [
        *(result(0.90, 0.80, 0.70), result(0.94, 0.81, 0.71), result(0.98, 0.82, 0.72)),
        *(result(0.91, 0.85, 0.70), result(0.91, 0.85, 0.70), result(0.91, 0.85, 0.70)),
    ]
    text = summary(runs, results)
    assert cells(text) == [
        ["lr", "runs", "val top-1 %", "test top-1 %", "test macro F1 %"],
        ["0.3", "3", "94.0 ± 4.0 *", "81.0 ± 1.0", "71.0 ± 1.0"],
        ["0.1", "3", "91.0 ± 0.0", "85.0 ± 0.0", "70.0 ± 0.0"],
    ]
    assert FEW_SEEDS not in text


def test_one_seed_has_no_deviation_and_the_table_warns_of_few_seeds() -> None:
    runs = [run(lr=0.1), run(lr=0.2)]
    text = summary(runs, [result(0.5), result(0.75)])
    assert cells(text)[1:] == [
        ["0.1", "1", "50.0 ± -", "50.0 ± -", "25.0 ± -"],
        ["0.2", "1", "75.0 ± - *", "50.0 ± -", "25.0 ± -"],
    ]
    assert FEW_SEEDS in text


def test_failed_runs_are_counted_and_excluded_from_the_means() -> None:
    runs = [run(seed=seed, lr=lr) for seed in (0, 1, 2) for lr in (0.1, 0.2)]
    text = summary(runs, [result(0.5), None, result(0.7), None, None, None])
    rows = cells(text)
    assert rows[1][:3] == ["0.1", "2, 1 failed", "60.0 ± 14.1 *"]
    assert rows[2] == ["0.2", "0, 3 failed", "-", "-", "-"]
    assert FEW_SEEDS in text
    assert "*" not in summary(runs[:1], [None])


def test_only_the_seed_of_the_run_is_averaged_over_and_two_seeds_are_few() -> None:
    text = summary([run(data_seed=1, seed=0), run(data_seed=2, seed=0)], [result(0.5), result(0.6)])
    assert [row[0] for row in cells(text)] == ["data_seed", "1", "2"]
    text = summary([run(seed=0), run(seed=1)], [result(0.5), result(0.7)])
    assert [row[:2] for row in cells(text)] == [["runs", "val top-1 %"], ["2", "60.0 ± 14.1 *"]]
    assert FEW_SEEDS in text


def test_raw_rows_have_every_run_and_every_digit() -> None:
    value = 0.1 + 0.2
    runs = [run(lr=0.1, seed=0), run(lr=0.1, seed=1)]
    header, rows = raw_rows(runs, [result(value, value, value), None])
    first, second = (dict(zip(header, row, strict=True)) for row in rows)
    assert [float(first[name]) for name in ("val/acc_top1", "test/acc_top1", "test/f1_macro")] == [value] * 3
    assert (first["run"], first["state"], first["best_epoch"]) == (runs[0].folder.name, "finished", "3")
    assert (second["lr"], second["seed"], second["state"], second["val/acc_top1"]) == ("0.1", "1", "failed", "")


def test_metrics_are_those_of_the_best_epoch_and_of_the_test_row(tmp_path: Path) -> None:
    stand_in.finish(tmp_path, val=1 / 3, test=0.625, f1=0.1 + 0.2)
    assert read_result(tmp_path) == Result(stand_in.BEST_EPOCH, 1 / 3, 0.625, 0.1 + 0.2)
    # If the last epoch was best, its validation row comes before the row of the test.
    (tmp_path / "metrics.csv").write_text(
        "epoch,test/acc_top1,test/f1_macro,val/acc_top1\n0,,,0.5\n0,0.25,0.125,\n", encoding="utf-8"
    )
    (tmp_path / "status.json").write_text(json.dumps({"stage": "finished", "best_epoch": 0}))
    assert read_result(tmp_path) == Result(0, 0.5, 0.25, 0.125)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("status.json", None),
        ("status.json", '{"stage": "test", "epochs": 3, "best_epoch": 1}'),
        ("status.json", '{"stage": "finished"}'),
        ("metrics.csv", None),
        ("metrics.csv", "epoch,test/acc_top1,test/f1_macro,val/acc_top1\n1,,,0.5\n"),  # the test row is missing
    ],
)
def test_an_unfinished_or_damaged_run_has_no_result(tmp_path: Path, file: str, content: str | None) -> None:
    assert read_result(tmp_path / "none") is None
    stand_in.finish(tmp_path, val=0.5)
    (tmp_path / file).unlink() if content is None else (tmp_path / file).write_text(content)
    assert read_result(tmp_path) is None
