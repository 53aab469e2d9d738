"""No operation of a training step reads a value from the device, which would make the host wait."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fiddle as fdl
import helpers.registered  # noqa: F401  # its import registers the experiments
import lightning as L
import pytest
import torch
from helpers.illegible_crops import write_crops
from lightning.pytorch.callbacks import Callback
from torch.utils._python_dispatch import TorchDispatchMode

from jersey import config as configs
from jersey.augment.mixing import MixUp
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
    """Watches each batch from its arrival to the end of its step; must be the last callback."""

    def __init__(self, make_watcher: Callable[[], Any]) -> None:
        self._make_watcher = make_watcher
        self.watchers: list[Any] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.watchers.append(self._make_watcher())
        self.watchers[-1].__enter__()

    def on_train_batch_end(self, *_: Any) -> None:
        self.watchers[-1].__exit__(None, None, None)


def watched(config: fdl.Buildable, folder: Path, make_watcher: Callable[[], Any]) -> list[Any]:
    """Returns the watchers of all steps of a fit with the callbacks of the config."""
    experiment = configs.build(config)
    data = experiment.data(seed=0)
    data.setup()
    module = experiment.module(labels=data.labels, class_counts=data.class_counts, seed=0)
    trainer: L.Trainer = experiment.trainer(run_dir=folder, loggers=[], run_state=module.run_state)
    watch = Watch(make_watcher)
    trainer.callbacks.append(watch)  # type: ignore[attr-defined]  # Lightning sets it in a connector
    trainer.fit(module, datamodule=data)
    assert len(watch.watchers) >= 3
    return watch.watchers


@pytest.fixture
def config(shrink: Callable[[fdl.Buildable], None], tmp_path: Path) -> fdl.Buildable:
    """The config of a run on a data set with illegible crops."""
    config = configs.get_experiment("resnet18_baseline")()
    shrink(config)
    config.data.root = str(write_crops(tmp_path / "crops", "folders"))
    return config


@pytest.mark.parametrize("reads_loss", [False, True])
def test_step_reads_no_value_from_the_device_and_one_that_does_is_detected(
    config: fdl.Buildable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads_loss: bool
) -> None:
    step = JerseyModule.training_step

    def reading_step(self: JerseyModule, *arguments: Any) -> torch.Tensor:
        loss = step(self, *arguments)
        loss.item()
        return loss

    if reads_loss:
        monkeypatch.setattr(JerseyModule, "training_step", reading_step)
    for watcher in watched(config, tmp_path, HostReads):
        assert bool(watcher.operations) == reads_loss, watcher.operations


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
    watched(config, tmp_path, NoSync)
