"""What the data set holds of each number, and what the sampler draws of it: tables and pictures.

Illegible crops, where there are some, are counted like a number. Shapes: K classes.
"""

from pathlib import Path

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from jersey.callbacks.base import data_of, save, track
from jersey.core.labels import ILLEGIBLE_NAME
from jersey.core.tables import write_csv
from jersey.plots.class_bars import dataset_bars, sampler_bars


class DatasetStatistics(Callback):
    """Writes `dataset.csv` (a row a number, a column a split) and `dataset.png`, and gives the picture to Aim.

    It counts the files, so `trainer.limit_batches` and the sampler change nothing here.
    """

    @rank_zero_only
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = data_of(trainer)
        names = list(data.labels.names)
        counts = [split.counts() | {ILLEGIBLE_NAME: split.illegible} for split in data.splits.values()]
        if any(of_split[ILLEGIBLE_NAME] for of_split in counts):
            names.append(ILLEGIBLE_NAME)
        table = [[of_split.get(name, 0) for of_split in counts] for name in names]
        rows = ([name, *numbers] for name, numbers in zip(names, table, strict=True))
        write_csv(Path(trainer.default_root_dir) / "dataset.csv", ("number", *data.splits), rows)
        image = dataset_bars(np.array(table).T, names, splits=list(data.splits), title=str(data.root))
        save(trainer, image, "dataset")
        track(trainer, pl_module, image, "dataset", step=0)


class SamplerDistribution(Callback):
    """Writes `class_sampling.csv` (a column a number, a row "data set", a row an epoch) and `class_sampling.png`, also to Aim.

    Epochs are counted as they are drawn: the crops of an incomplete last batch and those beyond
    `trainer.limit_batches` are among them. What an epoch draws is a function of its number, so a resumed run has the
    rows of the epochs before it too. Any two epochs differ by one crop of a number at most, so only the first that a
    process trains is drawn as a picture.
    """

    def __init__(self) -> None:
        self._drawn: list[np.ndarray] = []

    @rank_zero_only
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data, is_first = data_of(trainer), not self._drawn
        illegible = data.splits["train"].illegible
        names, held = list(data.labels.names), list(data.class_counts)
        if illegible:
            names, held = [*names, ILLEGIBLE_NAME], [*held, illegible]
        for epoch in range(len(self._drawn), trainer.current_epoch + 1):
            drawn_K = data.train_sampler.sampled_counts(epoch, num_classes=len(data.labels))
            rest = [len(data.train_sampler) - drawn_K.sum()] if illegible else []
            self._drawn.append(np.append(drawn_K, rest).astype(np.int64))
        rows = [["data set", *held]]
        rows += [[f"epoch {epoch}", *counts_K.tolist()] for epoch, counts_K in enumerate(self._drawn)]
        write_csv(Path(trainer.default_root_dir) / "class_sampling.csv", ("drawn in", *names), rows)
        if is_first:
            title = f"Sampler, epoch {trainer.current_epoch}: {len(data.train_sampler):,} crops drawn"
            image = sampler_bars(np.array(held), self._drawn[-1], names, title=title)
            save(trainer, image, "class_sampling")
            track(trainer, pl_module, image, "class_sampling", step=trainer.global_step, subset="train")
