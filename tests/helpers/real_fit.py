"""A real module, small enough to train in a blink, and the run's own trainer around it."""

from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch import Callback
from PIL import Image
from torch import nn

from jersey.core.labels import Labels
from jersey.data.datamodule import JerseyDataModule
from jersey.models.network import Network
from jersey.runs.aim import AimTracker
from jersey.runs.metrics_csv import MetricsCsv
from jersey.training.losses import CrossEntropy
from jersey.training.module import JerseyModule
from jersey.training.optimizers import adamw
from jersey.training.schedules import warmup_cosine
from jersey.training.trainer import make_trainer


class Recorder(AimTracker):
    """Keeps pictures instead of giving them to Aim."""

    def __init__(self, folder: Path) -> None:
        super().__init__(repo=folder / ".aim", experiment="e", run_name="r", hash_file=folder / "aim_hash")
        self.images: list[tuple[str, Image.Image, dict[str, Any]]] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None: ...

    def log_image(self, name: str, image: Image.Image, **where: Any) -> None:
        self.images.append((name, image, where))


def data_of(root: Path, **settings: Any) -> JerseyDataModule:
    data = JerseyDataModule(str(root), **{"seed": 3, "size_px": (16, 16), "batch_size": 8} | settings)
    data.setup()
    return data


def module_of(
    data: JerseyDataModule, *, final_frac: float = 0.1, backbone_lr_scale: float = 1.0, **settings: Any
) -> JerseyModule:
    torch.manual_seed(0)
    return JerseyModule(
        labels=data.labels,
        class_counts=data.class_counts,
        seed=0,
        network=tiny_network,
        optimizer=partial(adamw, lr=0.01, weight_decay=0.05, backbone_lr_scale=backbone_lr_scale),
        schedule=partial(warmup_cosine, warmup_frac=0.3, final_frac=final_frac),
        loss=CrossEntropy(label_smoothing=0.0),
        **settings,
    )


def tiny_network(*, labels: Labels) -> Network:
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return Network(nn.Sequential(*layers), nn.Linear(16, len(labels)))


def trainer_in(
    folder: Path, module: Any, *callbacks: Callback, recorder: Recorder | None = None, **settings: Any
) -> L.Trainer:
    loggers = [MetricsCsv(run_dir=folder), *([recorder] if recorder else [])]
    named = {f"callback_{index}": callback for index, callback in enumerate(callbacks)}
    return make_trainer(
        run_dir=folder, loggers=loggers, run_state=module.run_state, callbacks=named, accelerator="cpu", **settings
    )


def resumed(folder: Path, data: JerseyDataModule, make: Any, *, epochs: int, **settings: Any) -> None:
    """Trains half of the epochs in one trainer and the rest in another, with callbacks of their own from `make`."""
    for trained in (epochs // 2, epochs):
        module, last = module_of(data), folder / "last.ckpt"
        trainer = trainer_in(folder, module, make(), epochs=trained, **settings)
        trainer.fit(module, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)
        trainer.save_checkpoint(last)
