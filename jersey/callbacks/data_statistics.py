"""Tables and plots of the class counts in the data set and in the sampled epochs.

Illegible crops, if there are any, are counted like a class. Shapes: K classes.
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
    """Writes `dataset.csv` (one row per label, one column per split) and `dataset.png`, which is also added to Aim.

    It counts the crops of the splits, so `trainer.limit_batches` and the sampler have no effect on it.
    """

    @rank_zero_only
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = data_of(trainer)
        names = list(data.labels.names)
        counts = [split.counts() | {ILLEGIBLE_NAME: split.illegible} for split in data.splits.values()]
        if any(split_counts[ILLEGIBLE_NAME] for split_counts in counts):
            names.append(ILLEGIBLE_NAME)
        table = [[split_counts.get(name, 0) for split_counts in counts] for name in names]
        rows = ([name, *row] for name, row in zip(names, table, strict=True))
        write_csv(Path(trainer.default_root_dir) / "dataset.csv", ("label", *data.splits), rows)
        image = dataset_bars(np.array(table).T, names, splits=list(data.splits), title=str(data.root))
        save(trainer, image, "dataset")
        track(trainer, pl_module, image, "dataset", step=0)


class SamplerDistribution(Callback):
    """Writes `class_sampling.csv` and `class_sampling.png`, which is also added to Aim.

    The table has one column per label, a row "data set" and one row per epoch. It counts all sampled crops, including
    those of an incomplete last batch and those beyond `trainer.limit_batches`. The sampler is a function of the epoch,
    so a resumed run also has the rows of earlier epochs. The counts of a label differ by at most one between epochs,
    so only the first epoch of a process is plotted.
    """

    def __init__(self) -> None:
        self._sampled: list[np.ndarray] = []

    @rank_zero_only
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data, is_first = data_of(trainer), not self._sampled
        illegible = data.splits["train"].illegible
        names, counts = list(data.labels.names), list(data.class_counts)
        if illegible:
            names, counts = [*names, ILLEGIBLE_NAME], [*counts, illegible]
        for epoch in range(len(self._sampled), trainer.current_epoch + 1):
            sampled_K = data.train_sampler.sampled_counts(epoch, num_classes=len(data.labels))
            if illegible:
                sampled_K = np.append(sampled_K, len(data.train_sampler) - sampled_K.sum())
            self._sampled.append(sampled_K)
        rows = [["data set", *counts]]
        rows += [[f"epoch {epoch}", *counts_K.tolist()] for epoch, counts_K in enumerate(self._sampled)]
        write_csv(Path(trainer.default_root_dir) / "class_sampling.csv", ("source", *names), rows)
        if is_first:
            title = f"Sampler, epoch {trainer.current_epoch}: {len(data.train_sampler):,} crops sampled"
            image = sampler_bars(np.array(counts), self._sampled[-1], names, title=title)
            save(trainer, image, "class_sampling")
            track(trainer, pl_module, image, "class_sampling", step=trainer.global_step, subset="train")
