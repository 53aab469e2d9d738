"""What the sampler drew: crops of each number, epoch by epoch, under what the data set holds."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from jersey.tables import write_csv

if TYPE_CHECKING:
    from jersey.data.datamodule import JerseyDataModule


class SamplerTable(Callback):
    """Writes `sampler.csv` into `trainer.default_root_dir`: a column a number, a row "data set", a row an epoch.

    What an epoch draws is a function of its number, so a resumed run has the rows of the epochs before it too.
    """

    def __init__(self) -> None:
        self._drawn: list[list[int]] = []

    @rank_zero_only
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = cast("JerseyDataModule", trainer.datamodule)  # type: ignore[attr-defined]  # set by `fit`
        for epoch in range(len(self._drawn), trainer.current_epoch + 1):
            self._drawn.append(data.train_sampler.drawn_counts(epoch, num_classes=len(data.labels)).tolist())
        rows = [["data set", *data.class_counts], *([f"epoch {i}", *counts] for i, counts in enumerate(self._drawn))]
        write_csv(Path(trainer.default_root_dir) / "sampler.csv", ("drawn in", *data.labels.names), rows)
