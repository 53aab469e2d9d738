"""What a run reached is read from the epoch that was exported, and only once all of it is there."""

import json
from pathlib import Path

import pytest
from helpers import stand_in

from jersey.sweep.table import Result, read_result


def test_scores_are_those_of_the_best_epoch_and_of_the_test_row(tmp_path: Path) -> None:
    stand_in.finish(tmp_path, val=1 / 3, test=0.625, f1=0.1 + 0.2)
    assert read_result(tmp_path) == Result(stand_in.BEST_EPOCH, 1 / 3, 0.625, 0.1 + 0.2)
    # When the last epoch was best, it has a row in validation before that of the test.
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
