"""The tables of a run against the data they speak of."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from jersey.callbacks.per_class import PerClassTable
from jersey.callbacks.sampler_table import SamplerTable
from jersey.data.datamodule import JerseyDataModule
from jersey.labels import Labels
from jersey.metrics import Evaluation


def table(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_the_sampler_table_holds_what_the_loader_really_draws(crops_root: Path, tmp_path: Path) -> None:
    data = JerseyDataModule(str(crops_root), seed=3, size_px=(16, 16), batch_size=16, sampler_power=1.0)
    data.setup()
    trainer: Any = SimpleNamespace(datamodule=data, default_root_dir=tmp_path, current_epoch=2, is_global_zero=True)
    SamplerTable().on_train_epoch_start(trainer, cast(Any, None))
    rows = table(tmp_path / "sampler.csv")
    assert rows[0] == ["drawn in", "0", "00", "01"]
    assert [row[0] for row in rows[1:]] == ["data set", "epoch 0", "epoch 1", "epoch 2"]
    assert [int(cell) for cell in rows[1][1:]] == data.class_counts
    for epoch in range(3):
        data.train_sampler.set_epoch(epoch)
        labels_N = torch.cat([batch["labels"] for batch in data.train_dataloader()])
        assert len(labels_N) == 48
        assert [int(cell) for cell in rows[2 + epoch][1:]] == labels_N.bincount(minlength=3).tolist()


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_per_class_table_counts_by_hand(split: str, tmp_path: Path) -> None:
    """Three crops of "0", two read right; one of "00", read as "0"; none of "01"."""
    logits_NK = torch.tensor([[5.0, 0, 0], [5, 0, 0], [0, 5, 0], [5, 0, 0]])
    evaluation = Evaluation(logits_NK, torch.tensor([0, 0, 0, 1]), torch.arange(4))
    module: Any = SimpleNamespace(evaluations={split: evaluation}, labels=Labels(("0", "00", "01")))
    trainer: Any = SimpleNamespace(default_root_dir=tmp_path, sanity_checking=False)
    callback = PerClassTable()
    (callback.on_validation_end if split == "val" else callback.on_test_end)(trainer, module)
    rows = table(tmp_path / f"per_class_{split}.csv")
    assert rows[0] == ["number", "crops", "recall", "f1"]
    assert [row[0] for row in rows[1:]] == ["0", "00", "01"]
    assert [row[1] for row in rows[1:]] == ["3", "1", "0"]
    assert float(rows[1][2]) == pytest.approx(2 / 3)
    assert float(rows[1][3]) == pytest.approx(2 * 2 / (3 + 3))
    assert (rows[2][2], rows[3][2]) == ("0.0", "")
