"""What the sampler draws of each number, epoch by epoch, beside what the train split holds.

Shapes: K classes.
"""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from jersey.callbacks.picture import save, track
from jersey.tables import write_csv

if TYPE_CHECKING:
    from jersey.data.datamodule import JerseyDataModule


class SamplerDistribution(Callback):
    """Writes `sampler.csv` (a column a number, a row "data set", a row an epoch) and `sampler.png`, also to Aim.

    Epochs are counted as they are drawn: the crops of an incomplete last batch and those beyond
    `trainer.limit_batches` are among them. What an epoch draws is a function of its number, so a resumed run has the
    rows of the epochs before it too. Any two epochs differ by one crop of a number at most, so only the first that a
    process trains is drawn as a picture.
    """

    def __init__(self) -> None:
        self._drawn: list[np.ndarray] = []

    @rank_zero_only
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = cast("JerseyDataModule", trainer.datamodule)  # type: ignore[attr-defined]  # set by `fit`
        is_first = not self._drawn
        for epoch in range(len(self._drawn), trainer.current_epoch + 1):
            self._drawn.append(data.train_sampler.drawn_counts(epoch, num_classes=len(data.labels)))
        rows = [["data set", *data.class_counts]]
        rows += [[f"epoch {epoch}", *counts_K.tolist()] for epoch, counts_K in enumerate(self._drawn)]
        write_csv(Path(trainer.default_root_dir) / "sampler.csv", ("drawn in", *data.labels.names), rows)
        if is_first:
            self._draw(trainer, data)

    def _draw(self, trainer: Trainer, data: "JerseyDataModule") -> None:
        from jersey.plots.class_bars import sampler_bars  # imports matplotlib

        drawn_K = self._drawn[-1]
        title = f"Sampler, epoch {trainer.current_epoch}: {drawn_K.sum():,} crops drawn"
        image = sampler_bars(np.array(data.class_counts), drawn_K, data.labels.names, title=title)
        save(trainer, image, "sampler")
        track(trainer, image, "sampler", step=trainer.global_step, subset="train")
