"""What the data set holds: crops of each number in each split, once, as a table and a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from jersey.callbacks.picture import save, track
from jersey.core.labels import ILLEGIBLE_NAME
from jersey.core.tables import write_csv

if TYPE_CHECKING:
    from jersey.data.datamodule import JerseyDataModule


class DatasetStatistics(Callback):
    """Writes `dataset.csv` (a row a number, a column a split) and `dataset.png`, and gives the picture to Aim.

    Unreadable crops, where there are some, have a row like a number.
    It counts the files, so `trainer.limit_batches` and the sampler change nothing here.
    """

    @rank_zero_only
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        from jersey.plots.class_bars import dataset_bars  # imports matplotlib

        data = cast("JerseyDataModule", trainer.datamodule)  # type: ignore[attr-defined]  # set by `fit`
        names = list(data.labels.names)
        counts = [split.counts() | {ILLEGIBLE_NAME: split.unreadable} for split in data.splits.values()]
        if any(of_split[ILLEGIBLE_NAME] for of_split in counts):
            names.append(ILLEGIBLE_NAME)
        table = [[of_split.get(name, 0) for of_split in counts] for name in names]
        rows = ([name, *numbers] for name, numbers in zip(names, table, strict=True))
        write_csv(Path(trainer.default_root_dir) / "dataset.csv", ("number", *data.splits), rows)
        image = dataset_bars(np.array(table).T, names, splits=list(data.splits), title=str(data.root))
        save(trainer, image, "dataset")
        track(trainer, image, "dataset", step=0)
