"""No step of training or validation reads a value from the device, which would make the host wait."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fiddle as fdl
import helpers.registered  # noqa: F401  # its import registers the experiments
import lightning as L
import pytest
import torch
from helpers.illegible_crops import write_crops
from lightning.pytorch.callbacks import Callback, LambdaCallback
from torch.utils._python_dispatch import TorchDispatchMode

from jersey import config as configs
from jersey.augment.mixing import MixUp
from jersey.callbacks.ema import EMA
from jersey.callbacks.monitoring import LearningRate
from jersey.runs.metrics_csv import MetricsCsv
from jersey.training.module import JerseyModule

pytestmark = pytest.mark.filterwarnings("ignore")
READS = (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.masked_select)


class HostReads(TorchDispatchMode):
    """Records every operation that copies a value to the host."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in READS:
            self.operations.append(str(func))
        return func(*args, **(kwargs or {}))


class Watch(Callback):
    """Watches each batch from its first hook to that of the next one, or to the end of the epoch.

    It must be the first callback, and `close_after_last_batch` the last. Lightning logs a training step after the last
    hook of its batch, and copies the validation crops to the device after that of the last training batch.
    """

    def __init__(self, make_watcher: Callable[[], Any]) -> None:
        self._make_watcher, self._is_open = make_watcher, False
        self.watchers: dict[str, list[Any]] = {"train": [], "val": []}

    def _open(self, split: str) -> None:
        self._close()
        self.watchers[split].append(self._make_watcher())
        self.watchers[split][-1].__enter__()
        self._latest, self._is_open = self.watchers[split][-1], True

    def _close(self, *_: Any) -> None:
        if self._is_open:
            self._latest.__exit__(None, None, None)
        self._is_open = False

    def on_train_batch_start(self, *_: Any) -> None:
        self._open("train")

    def on_validation_batch_start(self, *_: Any) -> None:
        self._open("val")

    on_validation_epoch_end = on_exception = _close

    def close_after_last_batch(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.is_last_batch:
            self._close()


def watched(config: fdl.Buildable, folder: Path, make_watcher: Callable[[], Any]) -> dict[str, list[Any]]:
    """Returns the watchers of all steps of a fit, by split; every step is logged."""
    experiment = configs.build(config)
    data = experiment.data(seed=0)
    data.setup()
    module = experiment.module(labels=data.labels, class_counts=data.class_counts, seed=0)
    loggers = [MetricsCsv(run_dir=folder)]
    trainer: L.Trainer = experiment.trainer(run_dir=folder, loggers=loggers, run_state=module.run_state)
    watch = Watch(make_watcher)
    last = LambdaCallback(on_train_batch_end=watch.close_after_last_batch)
    trainer.callbacks = [watch, *trainer.callbacks, last]  # type: ignore[attr-defined]  # set in a connector
    trainer.log_every_n_steps = 1  # type: ignore[attr-defined]
    trainer.fit(module, datamodule=data)
    assert len(watch.watchers["train"]) >= 3
    assert watch.watchers["val"]
    return watch.watchers


@pytest.fixture
def config(shrink: Callable[[fdl.Buildable], None], tmp_path: Path) -> fdl.Buildable:
    """The config of a run on a data set with illegible crops."""
    config = configs.get_experiment("resnet18_baseline")()
    shrink(config)
    config.data.root = str(write_crops(tmp_path / "crops", "folders"))
    return config


def test_no_step_reads_a_value_from_the_device(config: fdl.Buildable, tmp_path: Path) -> None:
    """Callbacks, EMA and logging are part of a step."""
    for watchers in watched(config, tmp_path, HostReads).values():
        assert [watcher.operations for watcher in watchers] == [[]] * len(watchers)


def logs_a_tensor(module: JerseyModule, *_: Any) -> None:
    module.log("loss", torch.ones(()), on_step=True)


def reads_a_value(*_: Any) -> None:
    torch.ones(()).item()


@pytest.mark.parametrize(
    ("owner", "method", "read", "split"),
    [
        (JerseyModule, "training_step", reads_a_value, "train"),
        (JerseyModule, "training_step", logs_a_tensor, "train"),
        (JerseyModule, "validation_step", reads_a_value, "val"),
        (EMA, "_update", reads_a_value, "train"),
        (LearningRate, "on_train_batch_start", reads_a_value, "train"),
    ],
    ids=["training", "logging", "validation", "EMA", "callback"],
)
def test_a_read_is_detected(
    config: fdl.Buildable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    method: str,
    read: Callable[..., None],
    split: str,
) -> None:
    original = getattr(owner, method)

    def reading(*arguments: Any, **settings: Any) -> Any:
        read(*arguments)
        return original(*arguments, **settings)

    monkeypatch.setattr(owner, method, reading)
    for name, watchers in watched(config, tmp_path, HostReads).items():
        assert any(watcher.operations for watcher in watchers) == (name == split)


class NoSync:
    """Makes CUDA raise for every operation that waits."""

    def __enter__(self) -> None:
        torch.cuda.set_sync_debug_mode("error")

    def __exit__(self, *_: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.parametrize("mix", [None, MixUp(alpha=1.0)])
def test_step_on_a_gpu_never_waits(config: fdl.Buildable, tmp_path: Path, mix: MixUp | None) -> None:
    config.trainer.accelerator, config.module.mix = "gpu", mix
    config.trainer.callbacks.input_grid = None  # plots the first batch of a run
    watched(config, tmp_path, NoSync)
