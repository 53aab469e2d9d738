"""The devices and strategy of the trainer, with and without torchrun."""

from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy

from jersey.callbacks.freezing import FreezeBackbone
from jersey.core.errors import UserError
from jersey.runs.state import RunState
from jersey.training.trainer import make_trainer

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "RANK": "0",
    "LOCAL_RANK": "0",
    "GROUP_RANK": "0",
    "WORLD_SIZE": "6",
    "LOCAL_WORLD_SIZE": "2",
}


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)


def trainer(folder: Path, callback: Callback | None = None, *, accelerator: str = "cpu") -> L.Trainer:
    only = {"only": callback}
    return make_trainer(
        run_dir=folder, loggers=[], run_state=RunState(), callbacks=only, epochs=1, accelerator=accelerator
    )


def test_without_torchrun_one_device_trains(tmp_path: Path) -> None:
    made = trainer(tmp_path)
    assert (made.world_size, made.num_devices, made.num_nodes) == (1, 1, 1)
    assert not isinstance(made.strategy, DDPStrategy)


def test_torchrun_sets_the_devices_and_ddp_finds_unused_parameters_if_some_are_frozen(
    torchrun: None, tmp_path: Path
) -> None:
    for callback in (None, FreezeBackbone(freeze_frac=0.5)):
        made = trainer(tmp_path, callback)
        assert (made.world_size, made.num_devices, made.num_nodes) == (6, 2, 3)
        assert isinstance(made.strategy, DDPStrategy)
        assert bool(made.strategy._ddp_kwargs.get("find_unused_parameters")) == (callback is not None)


def test_more_processes_than_gpus_is_a_user_error(
    torchrun: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=r"2 processes on a machine with 1 GPUs; .*--nproc_per_node=1"):
        trainer(tmp_path, accelerator="auto")
