"""The learning rate in `metrics.csv` against the schedule itself."""

from pathlib import Path

import pytest
import torch
from helpers.countdown import Countdown, rows_of
from helpers.real_fit import data_of, module_of, resumed, trainer_in
from torch.utils.data import DataLoader, TensorDataset

from jersey.callbacks.monitoring import LearningRate

EPOCHS, STEPS = 4, 6  # 48 crops in batches of 8


def rates(folder: Path, column: str) -> list[float]:
    return [float(row[column]) for row in rows_of(folder)]


def scheduled(data_root: Path, *, group: str) -> list[float]:
    """The rate that the last optimizer step of each epoch takes, by stepping through the schedule."""
    module = module_of(data_of(data_root), backbone_lr_scale=0.1)
    optimizer, schedule = module.optimizer_and_schedule(EPOCHS * STEPS)
    taken = []
    for _ in range(EPOCHS * STEPS):
        taken.append(next(g["lr"] for g in optimizer.param_groups if g["name"] == group))
        optimizer.step()
        schedule.step()
    return taken[STEPS - 1 :: STEPS]


def test_backbone_and_head_have_a_column_each(crops_root: Path, tmp_path: Path) -> None:
    data = data_of(crops_root)
    module = module_of(data, backbone_lr_scale=0.1)
    trainer_in(tmp_path, module, LearningRate(), epochs=EPOCHS).fit(module, datamodule=data)
    assert {name for name in rows_of(tmp_path)[0] if name.startswith("lr")} == {"lr/backbone", "lr/head"}
    for part in ("backbone", "head"):
        assert rates(tmp_path, f"lr/{part}") == scheduled(crops_root, group=f"{part}_decay")


def test_equal_rates_are_one_column(crops_root: Path, tmp_path: Path) -> None:
    data = data_of(crops_root)
    module = module_of(data)
    trainer_in(tmp_path, module, LearningRate(), epochs=EPOCHS).fit(module, datamodule=data)
    assert [name for name in rows_of(tmp_path)[0] if name.startswith("lr")] == ["lr"]
    assert rates(tmp_path, "lr") == scheduled(crops_root, group="head_decay")


def test_rates_that_meet_at_zero_keep_their_columns(crops_root: Path, tmp_path: Path) -> None:
    data = data_of(crops_root)
    module = module_of(data, backbone_lr_scale=0.1, final_frac=0.0)
    trainer_in(tmp_path, module, LearningRate(), epochs=EPOCHS).fit(module, datamodule=data)
    backbone, head = rates(tmp_path, "lr/backbone"), rates(tmp_path, "lr/head")
    assert backbone == pytest.approx([0.1 * rate for rate in head])
    assert backbone[-1] == head[-1] == 0.0


def test_a_resumed_run_has_all_its_epochs(crops_root: Path, tmp_path: Path) -> None:
    """Each process plans the schedule for the epochs that it knows of: the second half is as in a run of four."""
    data = data_of(crops_root)
    resumed(tmp_path, data, LearningRate, epochs=EPOCHS)
    assert len(rates(tmp_path, "lr")) == EPOCHS
    assert rates(tmp_path, "lr")[EPOCHS // 2 :] == scheduled(crops_root, group="head_decay")[EPOCHS // 2 :]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_without_a_schedule(tmp_path: Path, accumulate: int) -> None:
    loader = DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=2)
    module = Countdown()
    trainer_in(tmp_path, module, LearningRate(), epochs=2, accumulate=accumulate).fit(module, loader, loader)
    assert rates(tmp_path, "lr") == [0.1, 0.1]
