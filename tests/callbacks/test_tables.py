"""The tables of a run against the data they speak of."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from jersey.callbacks.tables import PerClassTable
from jersey.core.labels import Labels
from jersey.evaluation.metrics import Evaluation


def table(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_per_class_table_counts_by_hand(split: str, tmp_path: Path) -> None:
    """Three crops of "0", two read right; one of "00", read as "0"; none of "01", as which one was read, nor of "7"."""
    logits_NK = torch.tensor([[5.0, 0, 1, -9], [6, 0, 1, -9], [0, 1, 5, -9], [4, 2, 1, -9]])
    evaluation = Evaluation(logits_NK, torch.tensor([0, 0, 0, 1]), torch.arange(4))
    module: Any = SimpleNamespace(evaluations={split: evaluation}, labels=Labels(("0", "00", "01", "7")))
    trainer: Any = SimpleNamespace(default_root_dir=tmp_path, sanity_checking=False)
    callback = PerClassTable()
    (callback.on_validation_end if split == "val" else callback.on_test_end)(trainer, module)
    header, *rows = table(tmp_path / f"per_class_{split}.csv")
    assert header == ["number", "support", "recall", "precision", "f1", "auroc"]
    assert [row[:2] for row in rows] == [["0", "3"], ["00", "1"], ["01", "0"], ["7", "0"]]
    # Of the pairs of a "0" and the "00", two of three rank the "0" higher; the "00" is above all three.
    assert [float(cell) for cell in rows[0][2:]] == pytest.approx([2 / 3, 2 / 3, 2 * 2 / (3 + 3), 2 / 3])
    assert [float(rows[1][2]), rows[1][3], float(rows[1][4]), float(rows[1][5])] == [0, "", 0, 1]
    assert [rows[2][2], float(rows[2][3]), float(rows[2][4]), rows[2][5]] == ["", 0, 0, ""]
    assert rows[3][2:] == ["", "", "", ""]
