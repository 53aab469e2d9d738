"""Trainings in one or several processes, whose results must be equal.

They have no batch normalization, which on the CPU uses the crops of one process, and no augmentation, whose random
numbers differ between processes. Only the training "random" has both.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from helpers.small_run import fitted, tiny_data, tiny_module
from lightning.pytorch.callbacks import Callback
from torch import nn

from jersey.augment.base import Augment
from jersey.augment.color import Noise
from jersey.augment.mixing import MixUp
from jersey.callbacks.ema import EMA
from jersey.callbacks.freezing import FreezeBackbone
from jersey.core.distributed import process_group, rank
from jersey.core.labels import Labels
from jersey.data.datamodule import JerseyDataModule
from jersey.data.loader import Batch
from jersey.models.network import Network
from jersey.training.losses import LogitAdjustedLoss
from jersey.training.optimizers import sgd
from jersey.training.sam import SAM

EPOCHS = 2


class Watch(Callback):
    """Keeps the rows of every train batch, and the weights after it."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = []
        self.weights: list[dict[str, torch.Tensor]] = []

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, _: int) -> None:
        self.rows.append(batch["indices"].tolist())

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        self.weights.append({name: each.detach().clone() for name, each in pl_module.named_parameters()})


def plain_network(*, labels: Labels) -> Network:
    layers = (nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return Network(nn.Sequential(*layers), nn.Linear(16, len(labels)))


def opened(root: Path) -> JerseyDataModule:
    # Neither 13 val crops nor batches of 5 can be divided evenly.
    return tiny_data(root, eval_batch_size=5, sampler_power=0.5)


PLAIN: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": lambda: {"callbacks": [EMA(decay=0.7)]},
    "sam": lambda: {"sam": SAM(rho=0.5)},
    "adjusted": lambda: {"loss": LogitAdjustedLoss(tau=0.5)},
    "accumulated": lambda: {"accumulate": 2},
    "frozen": lambda: {"callbacks": [FreezeBackbone(freeze_frac=0.5)]},
    "continued": lambda: {"callbacks": [EMA(decay=0.7)]},
}


def fit_all(root: Path, folder: Path) -> None:
    """Runs every training, and writes `<name>.<rank>.pt` to `folder`."""
    with process_group():
        data = opened(root)
        for name, settings in PLAIN.items():
            fit(data, folder, name, network=plain_network, **settings())
        augment, mix = Augment(noise=Noise(std=0.1)), MixUp(alpha=1.0)
        fit(data, folder, "random", augment=augment, mix=mix, sam=SAM(rho=0.1), callbacks=[EMA(decay=0.7)])


def fit(
    data: JerseyDataModule,
    folder: Path,
    name: str,
    *,
    callbacks: Sequence[Callback] = (),
    stop_after: int | None = None,
    accumulate: int = 1,
    **settings: Any,
) -> None:
    module = tiny_module(data, optimizer=partial(sgd, lr=0.05, momentum=0.9, weight_decay=0.01), **settings)
    watch, at = Watch(), {"epochs": EPOCHS, "stop_after": stop_after, "accumulate": accumulate}
    last = fitted(folder / name, data, module, *callbacks, watch, **at)
    seen = {"checkpoint": last, "end": module.state_dict(), "rows": watch.rows, "weights": watch.weights}
    torch.save(seen, folder / f"{name}.{rank()}.pt")
