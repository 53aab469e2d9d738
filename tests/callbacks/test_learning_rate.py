"""The learning rate in `metrics.csv`, compared with the schedule."""

from functools import partial
from pathlib import Path

import pytest
import torch
from helpers.countdown import Countdown, rows_of
from helpers.looked_at import EPOCHS, LookedAt
from helpers.small_run import STEPS, fitted, small_module, tiny_data, tiny_module, trainer_in
from torch.utils.data import DataLoader, TensorDataset

from jersey.callbacks.monitoring import LearningRate
from jersey.training.module import JerseyModule
from jersey.training.optimizers import adamw
from jersey.training.schedules import warmup_cosine

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like


def rates(folder: Path, column: str) -> list[float]:
    return [float(row[column]) for row in rows_of(folder) if row[column]]


def scheduled(module: JerseyModule, epochs: int, steps: int, *, group: str) -> list[float]:
    """Returns the rate of the last optimizer step of each epoch, by stepping through the schedule."""
    optimizer, schedule = module.optimizer_and_schedule(epochs * steps)
    scheduled_rates = []
    for _ in range(epochs * steps):
        scheduled_rates.append(next(g["lr"] for g in optimizer.param_groups if g["name"] == group))
        optimizer.step()
        schedule.step()
    return scheduled_rates[steps - 1 :: steps]


def test_backbone_and_head_have_one_column_each(looked_at: LookedAt) -> None:
    assert [name for name in rows_of(looked_at.folder)[0] if name.startswith("lr")] == ["lr/backbone", "lr/head"]
    module = small_module(looked_at.data, optimizer=partial(adamw, lr=0.01, backbone_lr_scale=0.1))
    for part in ("backbone", "head"):
        assert rates(looked_at.folder, f"lr/{part}") == scheduled(module, EPOCHS, 3, group=f"{part}_decay")


def test_equal_rates_share_a_column_and_a_resumed_run_has_all_epochs(crops_root: Path, tmp_path: Path) -> None:
    data = tiny_data(crops_root)
    for stop_after in (1, None):
        fitted(tmp_path, data, tiny_module(data), LearningRate(), stop_after=stop_after)
    assert [name for name in rows_of(tmp_path)[0] if name.startswith("lr")] == ["lr"]
    assert rates(tmp_path, "lr") == scheduled(tiny_module(data), 3, STEPS, group="head_decay")


def test_rates_that_become_equal_keep_their_columns(crops_root: Path, tmp_path: Path) -> None:
    data = tiny_data(crops_root)
    optimizer, schedule = partial(adamw, lr=0.01, backbone_lr_scale=0.1), partial(warmup_cosine, final_frac=0.0)
    module = tiny_module(data, optimizer=optimizer, schedule=schedule)
    trainer_in(tmp_path, module, LearningRate(), epochs=2).fit(module, datamodule=data)
    backbone, head = rates(tmp_path, "lr/backbone"), rates(tmp_path, "lr/head")
    assert backbone == pytest.approx([0.1 * rate for rate in head])
    assert backbone[-1] == head[-1] == 0.0


def test_rate_without_schedule_and_with_accumulated_batches(tmp_path: Path) -> None:
    loader, module = DataLoader(TensorDataset(torch.ones(4, 1)), batch_size=2), Countdown()
    trainer_in(tmp_path, module, LearningRate(), epochs=2, accumulate=3).fit(module, loader, loader)
    assert rates(tmp_path, "lr") == [0.1, 0.1]
