"""Real fits of a tiny real module: left alone, or stopped after an epoch and resumed as `jersey.experiment` resumes."""

from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from jersey.callbacks.checkpoints import RunCheckpoint
from jersey.core.labels import Labels
from jersey.data.datamodule import JerseyDataModule
from jersey.models.network import Network
from jersey.runs.metrics_csv import MetricsCsv
from jersey.training.losses import CrossEntropy
from jersey.training.module import JerseyModule
from jersey.training.optimizers import adamw
from jersey.training.schedules import warmup_cosine
from jersey.training.trainer import make_trainer

EPOCHS, STEPS = 3, 6  # 48 crops in batches of 8


class Killed(Exception):
    """In place of the signal."""


class KillAt(Callback):
    """Ends a run in the middle: after the batch with this number, counted over the run, before anything is saved."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if trainer.fit_loop.total_batch_idx == self.batch:
            raise Killed


class StopAfter(Callback):
    """Ends training after so many epochs of a longer run."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 == self.epochs


def tiny_network(*, labels: Labels) -> Network:
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return Network(nn.Sequential(*layers), nn.Linear(16, len(labels)))


def tiny_data(root: Path) -> JerseyDataModule:
    data = JerseyDataModule(str(root), seed=3, size_px=(16, 16), batch_size=8)
    data.setup()
    return data


def tiny_module(data: JerseyDataModule, **settings: Any) -> JerseyModule:
    torch.manual_seed(0)
    parts: dict[str, Any] = {
        "network": tiny_network,
        "optimizer": partial(adamw, lr=0.01, weight_decay=0.05),
        "schedule": partial(warmup_cosine, warmup_frac=0.3, final_frac=0.1),
        "loss": CrossEntropy(label_smoothing=0.1),
    }
    return JerseyModule(labels=data.labels, class_counts=data.class_counts, seed=0, **(parts | settings))


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
    """The run's last checkpoint; a run that the folder holds already is resumed."""
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / "checkpoints" / "last.ckpt"
    stop = [StopAfter(stop_after)] if stop_after else []
    checkpoints = RunCheckpoint(monitor="val/acc_top1", every_steps=every_steps)
    named = {str(index): callback for index, callback in enumerate([*callbacks, checkpoints, *stop])}
    trainer = make_trainer(
        run_dir=folder,
        loggers=[MetricsCsv(run_dir=folder)],
        run_state=module.run_state,
        callbacks=dict(named),
        epochs=epochs,
        accelerator="cpu",
        **settings,
    )
    trainer.fit(module, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)
    return torch.load(last, weights_only=True)


def assert_same_training(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Weights, averages, optimizer and schedule of two checkpoints, bit for bit."""
    names = ("global_step", "state_dict", "current_model_state", "optimizer_states", "lr_schedulers")
    assert left.keys() == right.keys()
    for name in names:
        _assert_same(left.get(name), right.get(name), name)


def _assert_same(left: Any, right: Any, where: str) -> None:
    if isinstance(left, Tensor):
        assert torch.equal(left, right), where
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            _assert_same(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right), where
        for index, pair in enumerate(zip(left, right, strict=True)):
            _assert_same(*pair, f"{where}[{index}]")
    else:
        assert left == right, where
