"""Small trainings: tiny networks on synthetic crops, in the trainer of a real run.

`fitted` runs a training to its end, stops it early, or resumes it as `jersey.experiment` does.
"""

from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from PIL import Image
from torch import Tensor, nn

from jersey.augment.base import Augment
from jersey.augment.color import Color, Noise
from jersey.augment.geometry import Geometry
from jersey.callbacks.checkpoints import RunCheckpoint
from jersey.core.distributed import barrier
from jersey.core.labels import Labels
from jersey.data.datamodule import JerseyDataModule
from jersey.models.network import Network
from jersey.plots import image_grid as plot
from jersey.plots.image_grid import TileSection
from jersey.runs.aim import AimTracker
from jersey.runs.metrics_csv import MetricsCsv
from jersey.training.losses import CrossEntropy
from jersey.training.module import JerseyModule
from jersey.training.optimizers import adamw
from jersey.training.schedules import warmup_cosine
from jersey.training.trainer import make_trainer

EPOCHS, STEPS = 3, 6  # of `fitted` on `tiny_data`: 48 crops in batches of 8


def small_network(*, labels: Labels) -> Network:
    strides = {"layer1": 4, "layer2": 2, "layer3": 2, "layer4": 2}
    widths = [3, 8, 8, 8, 8]
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    for (name, stride), before, after in zip(strides.items(), widths, widths[1:], strict=False):
        convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1)
        stages[name] = nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())
    stages["pool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Network(nn.Sequential(stages), nn.Linear(widths[-1], len(labels)))


def tiny_network(*, labels: Labels) -> Network:
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return Network(nn.Sequential(*layers), nn.Linear(16, len(labels)))


def tiny_data(root: Path, **settings: Any) -> JerseyDataModule:
    data = JerseyDataModule(str(root), **({"seed": 3, "size_px": (16, 16), "batch_size": 8} | settings))
    data.setup()
    return data


def small_data(root: Path) -> JerseyDataModule:
    """Opens data in which neither the splits nor their batches divide evenly."""
    return tiny_data(root, size_px=(32, 32), batch_size=16, eval_batch_size=5, sampler_power=0.5)


def tiny_module(data: JerseyDataModule, **settings: Any) -> JerseyModule:
    torch.manual_seed(0)
    parts: dict[str, Any] = {
        "network": tiny_network,
        "optimizer": partial(adamw, lr=0.01, weight_decay=0.05),
        "schedule": partial(warmup_cosine, warmup_frac=0.3, final_frac=0.1),
        "loss": CrossEntropy(label_smoothing=0.1),
    }
    return JerseyModule(labels=data.labels, class_counts=data.class_counts, seed=0, **(parts | settings))


def small_module(data: JerseyDataModule, *, is_augmented: bool = True, **settings: Any) -> JerseyModule:
    augment = Augment(geometry=Geometry(rotation_deg=10), color=Color(channel_swap_p=0.5), noise=Noise(std=0.1))
    return tiny_module(data, network=small_network, augment=augment if is_augmented else None, **settings)


def noisy_module(data: JerseyDataModule, **settings: Any) -> JerseyModule:
    return tiny_module(data, augment=Augment(noise=Noise(std=0.1)), **settings)


class PictureRecorder(AimTracker):
    """Keeps images instead of logging them to Aim."""

    def __init__(self, folder: Path) -> None:
        super().__init__(repo=folder / ".aim", experiment="e", run_name="r", hash_file=folder / "aim_hash")
        self.images: list[tuple[str, Image.Image, dict[str, Any]]] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None: ...

    def log_image(self, name: str, image: Image.Image, **where: Any) -> None:
        self.images.append((name, image, where))


def trainer_in(
    folder: Path, module: Any, *callbacks: Callback, recorder: PictureRecorder | None = None, **settings: Any
) -> L.Trainer:
    folder.mkdir(parents=True, exist_ok=True)
    return make_trainer(
        run_dir=folder,
        loggers=[MetricsCsv(run_dir=folder), *([recorder] if recorder else [])],
        run_state=module.run_state,
        callbacks={str(index): callback for index, callback in enumerate(callbacks)},
        **{"accelerator": "cpu", "epochs": 1} | settings,
    )


def small_trainer(folder: Path, *callbacks: Callback, epochs: int = 1, **settings: Any) -> L.Trainer:
    """Returns a plain trainer, for other modules than jersey's or without metrics."""
    return L.Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        callbacks=list(callbacks),
        accelerator="cpu",
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **{"logger": False} | settings,
    )


class Killed(Exception):
    """Raised in place of a SIGKILL."""


class KillAt(Callback):
    """Ends a run after the batch of this index, counted over the run, before anything is saved."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if trainer.fit_loop.total_batch_idx == self.batch:
            raise Killed


class StopAfter(Callback):
    """Ends training after this number of epochs."""

    def __init__(self, epochs: int | None) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 == self.epochs


def fitted(
    folder: Path,
    data: JerseyDataModule,
    module: JerseyModule,
    *callbacks: Callback,
    epochs: int = EPOCHS,
    stop_after: int | None = None,
    every_steps: int | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Trains, or resumes the run of the folder, and returns its last checkpoint."""
    last = folder / "checkpoints" / "last.ckpt"
    checkpoints = RunCheckpoint(monitor="val/acc_top1", every_steps=every_steps)
    trainer = trainer_in(folder, module, *callbacks, checkpoints, StopAfter(stop_after), epochs=epochs, **settings)
    trainer.fit(module, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)
    barrier()  # until rank zero has written its last checkpoint
    return torch.load(last, weights_only=True)


def copy_of(module: nn.Module) -> dict[str, Tensor]:
    """Returns copies of the weights and buffers."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def assert_same_training(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Asserts that weights, EMA weights, optimizer and schedule of two checkpoints are equal, bit for bit."""
    assert left.keys() == right.keys()
    for name in ("global_step", "state_dict", "current_model_state", "optimizer_states", "lr_schedulers"):
        _assert_same(left.get(name), right.get(name), name)


def _assert_same(left: Any, right: Any, where: str) -> None:
    if isinstance(left, Tensor):
        assert torch.equal(left, right), where
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            _assert_same(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, (list, tuple)):
        for index, pair in enumerate(zip(left, right, strict=True)):
            _assert_same(*pair, f"{where}[{index}]")
    else:
        assert left == right, where


def watch_grids(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[TileSection]]:
    """Returns a dictionary that collects the sections of every grid plotted from now on, by title."""
    grids: dict[str, list[TileSection]] = {}
    original = plot.image_grid

    def watched(title: str, sections: list[TileSection], **layout: Any) -> object:
        grids[title] = sections
        return original(title, sections, **layout)

    monkeypatch.setattr(plot, "image_grid", watched)
    return grids
