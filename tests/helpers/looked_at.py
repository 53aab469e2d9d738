"""A run with all callbacks that write figures and tables, at whose outputs many tests look."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers.small_run import PictureRecorder, small_data, small_module, trainer_in, watch_grids
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from jersey.callbacks.checkpoints import RunCheckpoint
from jersey.callbacks.data_statistics import DatasetStatistics, SamplerDistribution
from jersey.callbacks.grids import GradCam, InputGrid, PredictionGrid
from jersey.callbacks.monitoring import LearningRate, LossScale, StopOnNonFinite
from jersey.callbacks.tables import ConfusionMatrix, DigitErrors, PerClassTable, PredictionsTable
from jersey.callbacks.training_curves import TrainingCurves
from jersey.data.datamodule import JerseyDataModule
from jersey.plots.image_grid import TileSection
from jersey.runs.folder import open_run
from jersey.training.module import JerseyModule
from jersey.training.optimizers import adamw

EPOCHS = 4


class Witness(Callback):
    """Keeps the crops of every training batch by epoch and batch, and counts all crops that the network received."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self.crops = {True: 0, False: 0}  # by whether the network was in training mode

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self._hook = pl_module.network.register_forward_pre_hook(self._count)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        self._hook.remove()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._place, self._labels_B = (trainer.current_epoch, batch_idx), batch["labels"]

    def _count(self, network: Any, inputs: tuple[Tensor, ...]) -> None:
        self.crops[network.training] += len(inputs[0])
        if network.training:
            self.seen[self._place] = (inputs[0].clone(), self._labels_B)


@dataclass(frozen=True)
class LookedAt:
    """A run that was trained, validated and tested."""

    folder: Path
    data: JerseyDataModule
    module: JerseyModule
    recorder: PictureRecorder
    grids: dict[str, list[TileSection]]
    witness: Witness

    def where(self, name: str) -> list[dict[str, Any]]:
        """Returns the step and context of each version of an image in Aim."""
        return [where for shown, _, where in self.recorder.images if shown == name]


def every_callback(witness: Witness) -> list[Callback]:
    return [
        *(witness, DatasetStatistics(), SamplerDistribution(), InputGrid(crops=9, every_epochs=2)),
        *(LearningRate(), LossScale(), StopOnNonFinite(), ConfusionMatrix(), DigitErrors(), PerClassTable()),
        *(PredictionGrid(crops=3), PredictionsTable(), GradCam(crops=3), TrainingCurves(interval_s=0.0)),
        RunCheckpoint(monitor="val/loss", mode="min"),
    ]


@pytest.fixture(scope="session")
def looked_at(crops_root: Path, tmp_path_factory: pytest.TempPathFactory) -> LookedAt:
    config_files = {"config.txt": "seed = 0\nlr = 0.01\n"}
    run = open_run(tmp_path_factory.mktemp("runs"), "small", "first", config_files=config_files)
    data, recorder, witness = small_data(crops_root), PictureRecorder(run.path), Witness()
    module = small_module(data, optimizer=partial(adamw, lr=0.01, backbone_lr_scale=0.1))
    with pytest.MonkeyPatch.context() as monkeypatch:
        grids = watch_grids(monkeypatch)
        trainer = trainer_in(run.path, module, *every_callback(witness), recorder=recorder, epochs=EPOCHS)
        trainer.fit(module, datamodule=data)
        trainer.validate(module, datamodule=data, verbose=False)
        trainer.test(module, datamodule=data, verbose=False)
    run.mark_stage("finished")
    return LookedAt(run.path, data, module, recorder, grids, witness)
