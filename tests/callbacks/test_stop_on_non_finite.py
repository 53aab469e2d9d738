"""A loss that turns into no number, in real fits."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.interrupted import STEPS, fitted, tiny_data, tiny_module
from torch import Tensor, nn

from jersey.callbacks.monitoring import FILE, FiniteLoss
from jersey.core.errors import UserError
from jersey.data.datamodule import JerseyDataModule

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like


class Breaking(nn.Module):
    """The loss of some steps is what is said instead; gradients stay as they are."""

    def __init__(self, instead: dict[int, float]) -> None:
        super().__init__()
        self.instead = instead
        self.step = 0

    def forward(self, logits_BK: Tensor, labels_B: Tensor, weights_K: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(logits_BK, labels_B)
        self.step += self.training
        extra = self.instead.get(self.step, 0.0)
        return loss + torch.tensor(extra)


@pytest.fixture(scope="module")
def data(crops_root: Path) -> JerseyDataModule:
    return tiny_data(crops_root)


def fit(folder: Path, data: JerseyDataModule, instead: dict[int, float], **settings: Any) -> dict[str, Any]:
    return fitted(folder, data, tiny_module(data, loss=Breaking(instead)), FiniteLoss(after_steps=3), **settings)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_crops_of_the_first_bad_batch_are_listed(data: JerseyDataModule, tmp_path: Path, value: float) -> None:
    bad = dict.fromkeys(range(STEPS + 3, 99), value)
    with pytest.raises(UserError, match=rf"the loss is {value} since optimizer step {STEPS + 3}, .*{FILE}"):
        fit(tmp_path, data, bad)
    with (tmp_path / FILE).open(encoding="utf-8", newline="") as file:
        listed = [row["file"] for row in csv.DictReader(file)]
    data.train_sampler.set_epoch(1)
    third = list(data.train_sampler)[2 * 8 : 3 * 8]
    assert listed == [str(data.splits["train"].paths[row]) for row in third]


def test_the_checkpoint_stays_the_one_from_before(data: JerseyDataModule, tmp_path: Path) -> None:
    bad = dict.fromkeys(range(STEPS + 3, 99), float("nan"))
    with pytest.raises(UserError):
        fit(tmp_path, data, bad, every_steps=1)
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == STEPS + 2


def test_an_epoch_that_ends_so_is_not_kept(data: JerseyDataModule, tmp_path: Path) -> None:
    bad = dict.fromkeys(range(2 * STEPS - 1, 99), float("nan"))
    with pytest.raises(UserError, match=f"since optimizer step {2 * STEPS - 1},"):
        fit(tmp_path, data, bad)
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == STEPS


def test_fewer_in_a_row_are_borne(data: JerseyDataModule, tmp_path: Path) -> None:
    instead = {2: float("nan"), 3: float("nan"), 5: float("inf"), 6: float("nan")}
    assert fit(tmp_path, data, instead)["global_step"] == 3 * STEPS
    assert not (tmp_path / FILE).exists()


def test_it_is_a_step_at_least() -> None:
    with pytest.raises(UserError, match="after_steps=0"):
        FiniteLoss(after_steps=0)
