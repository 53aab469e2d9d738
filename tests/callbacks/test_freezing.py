"""Frozen backbones and batch statistics in real fits: what is frozen, and until when.

`test_checkpoints.py` tests resumed fits.
"""

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from helpers.small_run import EPOCHS, STEPS, copy_of, fitted, tiny_data, tiny_module
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from jersey.callbacks.freezing import FreezeBackbone, FreezeBatchNorm
from jersey.core.errors import UserError
from jersey.data.datamodule import JerseyDataModule
from jersey.training.optimizers import adamw, sgd

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like

BATCHES = EPOCHS * STEPS
SGD, ADAMW = partial(sgd, lr=0.05, momentum=0.9, weight_decay=0.1), partial(adamw, lr=0.05, weight_decay=0.1)


class Recorder(Callback):
    """Records the state of backbone and head after every batch, and whether the network is unfrozen between batches."""

    def __init__(self) -> None:
        self.backbones: list[dict[str, Tensor]] = []
        self.heads: list[dict[str, Tensor]] = []
        self.is_unfrozen: list[bool] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        self.backbones.append(copy_of(pl_module.network.backbone))
        self.heads.append(copy_of(pl_module.network.head))

    def on_validation_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.is_unfrozen.append(all(weight.requires_grad for weight in pl_module.parameters()))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.is_unfrozen.append(all(part.training for part in pl_module.network.modules()))


def changes(states: list[dict[str, Tensor]]) -> list[bool]:
    """Returns whether anything changed from each state to the next."""
    return [any(not torch.equal(old[name], new[name]) for name in old) for old, new in itertools.pairwise(states)]


@pytest.fixture(scope="module")
def data(crops_root: Path) -> JerseyDataModule:
    return tiny_data(crops_root)


@pytest.mark.parametrize(
    ("optimizer", "frac", "accumulate", "frozen_batches"),
    [(SGD, 0.0, 1, 0), (SGD, 0.5, 1, 9), (ADAMW, 0.5, 1, 9), (ADAMW, 1.0, 1, 18), (ADAMW, 1 / 3, 3, 2 * 3)],
)
def test_backbone_is_constant_for_the_fraction_of_steps(
    data: JerseyDataModule, tmp_path: Path, optimizer: Any, frac: float, accumulate: int, frozen_batches: int
) -> None:
    module, recorder = tiny_module(data, optimizer=optimizer), Recorder()
    modes: list[bool] = []  # a frozen backbone normalizes as in evaluation
    module.network.backbone.register_forward_hook(lambda part, *_: modes.append(part[1].training))
    start = copy_of(module.network.backbone)
    fitted(tmp_path, data, module, FreezeBackbone(freeze_frac=frac), recorder, accumulate=accumulate)
    assert changes([start, *recorder.backbones]) == [batch >= frozen_batches for batch in range(BATCHES)]
    assert modes.count(True) == BATCHES - frozen_batches
    assert all(changes(recorder.heads)) == (accumulate == 1)
    moved = {name for name, value in recorder.backbones[-1].items() if not torch.equal(value, start[name])}
    assert moved == (set() if frac == 1 else set(start))
    assert all(recorder.is_unfrozen)


def test_weights_without_gradient_stay_frozen(data: JerseyDataModule, tmp_path: Path) -> None:
    module = tiny_module(data)
    kept = module.network.backbone.get_parameter("0.weight").requires_grad_(False)
    start = kept.clone()
    fitted(tmp_path, data, module, FreezeBackbone(freeze_frac=0.3))
    assert not kept.requires_grad
    assert torch.equal(kept, start)


@pytest.mark.parametrize("frac", [-0.1, 1.5])
def test_fraction_out_of_range_is_rejected(frac: float) -> None:
    with pytest.raises(UserError, match=rf"freeze_backbone\.freeze_frac={frac}"):
        FreezeBackbone(freeze_frac=frac)


def test_batch_statistics_are_constant_and_used_in_training(data: JerseyDataModule, tmp_path: Path) -> None:
    module = tiny_module(data)
    norm = module.network.backbone[1]
    with torch.no_grad():
        norm.running_mean.add_(0.3)
    start, differences = copy_of(norm), []

    def compare(part: Any, args: tuple[Tensor], output_BCHW: Tensor) -> None:
        if torch.is_grad_enabled():
            mean_C, std_C = start["running_mean"], (start["running_var"] + part.eps).sqrt()
            x_BCHW = (args[0].detach() - mean_C.view(-1, 1, 1)) / std_C.view(-1, 1, 1)
            expected_BCHW = x_BCHW * part.weight.view(-1, 1, 1) + part.bias.view(-1, 1, 1)
            differences.append((output_BCHW - expected_BCHW).abs().max().item())

    norm.register_forward_hook(compare)
    fitted(tmp_path, data, module, FreezeBatchNorm())
    moved = {name for name, value in copy_of(norm).items() if not torch.equal(value, start[name])}
    assert moved == {"weight", "bias"}
    assert len(differences) == BATCHES
    assert max(differences) < 1e-5
