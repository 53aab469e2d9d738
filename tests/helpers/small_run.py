"""A real fit and test that take a second: a tiny network with the stages of a ResNet, on drawn crops."""

from collections import OrderedDict
from functools import partial
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from jersey.augment.base import Augment
from jersey.augment.color import Colour, Noise
from jersey.augment.geometry import Geometry
from jersey.core.labels import Labels
from jersey.data.datamodule import JerseyDataModule
from jersey.models.network import Network
from jersey.plots import image_grid as plot
from jersey.plots.image_grid import TileSection
from jersey.training.losses import CrossEntropy
from jersey.training.module import JerseyModule
from jersey.training.optimizers import adamw
from jersey.training.schedules import warmup_cosine


def small_network(*, labels: Labels) -> Network:
    strides = {"layer1": 4, "layer2": 2, "layer3": 2, "layer4": 2}
    widths = [3, 8, 8, 8, 8]
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    for (name, stride), before, after in zip(strides.items(), widths, widths[1:], strict=False):
        convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1)
        stages[name] = nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())
    stages["pool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Network(nn.Sequential(stages), nn.Linear(widths[-1], len(labels)))


def small_data(root: Path) -> JerseyDataModule:
    data = JerseyDataModule(str(root), seed=0, size_px=(32, 32), batch_size=16, eval_batch_size=5, sampler_power=0.5)
    data.setup()
    return data


def small_module(data: JerseyDataModule, *, is_augmented: bool = True) -> JerseyModule:
    torch.manual_seed(0)
    augment = Augment(geometry=Geometry(rotation_deg=10), colour=Colour(swap=0.5), noise=Noise(std=0.1))

    return JerseyModule(
        labels=data.labels,
        class_counts=data.class_counts,
        seed=3,
        network=small_network,
        optimizer=partial(adamw, lr=1e-2),
        schedule=partial(warmup_cosine, warmup_frac=0.2, final_frac=0.1),
        loss=CrossEntropy(),
        augment=augment if is_augmented else None,
    )


def small_trainer(folder: Path, *callbacks: Callback, epochs: int = 1, test_batches: int | None = None) -> L.Trainer:
    return L.Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        callbacks=list(callbacks),
        limit_test_batches=test_batches,
        accelerator="cpu",
        logger=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )


def watch_grids(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[TileSection]]:
    """Fills with the sections of every grid that is drawn from now on, by title."""
    grids: dict[str, list[TileSection]] = {}
    draw = plot.image_grid

    def watched(title: str, sections: list[TileSection], *, columns: int) -> object:
        grids[title] = sections
        return draw(title, sections, columns=columns)

    monkeypatch.setattr(plot, "image_grid", watched)
    return grids
