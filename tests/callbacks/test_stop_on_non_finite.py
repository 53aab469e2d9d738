"""Losses that become infinite or NaN in real fits."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.small_run import STEPS, fitted, tiny_data, tiny_module
from torch import Tensor, nn

from jersey.callbacks.monitoring import NOT_FINITE, StopOnNonFinite
from jersey.core.errors import UserError
from jersey.data.datamodule import JerseyDataModule

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like
NAN, INF = float("nan"), float("inf")


class NonFiniteLoss(nn.Module):
    """A loss that has given values at some steps; its gradients are unchanged."""

    def __init__(self, instead: dict[int, float]) -> None:
        super().__init__()
        self.instead = instead
        self.step = 0

    def forward(self, logits_BK: Tensor, labels_B: Tensor, weights_K: Tensor) -> Tensor:
        self.step += self.training
        return nn.functional.cross_entropy(logits_BK, labels_B) + torch.tensor(self.instead.get(self.step, 0.0))


@pytest.fixture(scope="module")
def data(crops_root: Path) -> JerseyDataModule:
    return tiny_data(crops_root)


def fit(folder: Path, data: JerseyDataModule, instead: dict[int, float], **settings: Any) -> dict[str, Any]:
    module = tiny_module(data, loss=NonFiniteLoss(instead))
    return fitted(folder, data, module, StopOnNonFinite(max_steps=3), **settings)


@pytest.mark.parametrize(
    ("value", "first", "every_steps", "kept"),
    [
        (NAN, STEPS + 3, 1, STEPS + 2),  # the checkpoint from before is kept
        (INF, STEPS + 3, None, STEPS),
        (NAN, 2 * STEPS - 1, None, STEPS),  # an epoch that ends with such a loss is not saved
    ],
)
def test_crops_of_the_first_non_finite_batch_are_listed_and_no_checkpoint_is_saved(
    data: JerseyDataModule, tmp_path: Path, value: float, first: int, every_steps: int | None, kept: int
) -> None:
    with pytest.raises(UserError, match=rf"the loss is {value} since optimizer step {first}, .*{NOT_FINITE}"):
        fit(tmp_path, data, dict.fromkeys(range(first, 99), value), every_steps=every_steps)
    with (tmp_path / NOT_FINITE).open(encoding="utf-8", newline="") as file:
        listed = [row["file"] for row in csv.DictReader(file)]
    data.train_sampler.set_epoch(1)
    start = (first - 1) % STEPS * 8
    paths = data.splits["train"].paths
    rows = list(data.train_sampler)[start : start + 8]
    assert listed == [paths[row].relative_to(data.root).as_posix() for row in rows]
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == kept


def test_fewer_consecutive_losses_do_not_stop_the_run(data: JerseyDataModule, tmp_path: Path) -> None:
    assert fit(tmp_path, data, {2: NAN, 3: NAN, 5: INF, 6: NAN})["global_step"] == 3 * STEPS
    assert not (tmp_path / NOT_FINITE).exists()


def test_max_steps_below_one_is_rejected() -> None:
    with pytest.raises(UserError, match="max_steps=0"):
        StopOnNonFinite(max_steps=0)
