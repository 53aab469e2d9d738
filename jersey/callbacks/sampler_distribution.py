"""What the sampler draws of each number, epoch by epoch, beside what the train split holds.

Shapes: K classes.
"""

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


class SamplerDistribution(Callback):
    """Writes `sampler.csv` (a column a number, a row "data set", a row an epoch) and `sampler.png`, also to Aim.

    Unreadable crops, where there are some, have a column like a number.

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
        names, unreadable = _columns(data)
        for epoch in range(len(self._drawn), trainer.current_epoch + 1):
            drawn_K = data.train_sampler.drawn_counts(epoch, num_classes=len(data.labels))
            rest = [len(data.train_sampler) - drawn_K.sum()] if unreadable else []
            self._drawn.append(np.append(drawn_K, rest).astype(np.int64))
        rows = [["data set", *data.class_counts, *unreadable]]
        rows += [[f"epoch {epoch}", *counts_K.tolist()] for epoch, counts_K in enumerate(self._drawn)]
        write_csv(Path(trainer.default_root_dir) / "sampler.csv", ("drawn in", *names), rows)
        if is_first:
            self._draw(trainer, data)

    def _draw(self, trainer: Trainer, data: "JerseyDataModule") -> None:
        from jersey.plots.class_bars import sampler_bars  # imports matplotlib

        drawn_K = self._drawn[-1]
        title = f"Sampler, epoch {trainer.current_epoch}: {drawn_K.sum():,} crops drawn"
        names, unreadable = _columns(data)
        image = sampler_bars(np.array([*data.class_counts, *unreadable]), drawn_K, names, title=title)
        save(trainer, image, "sampler")
        track(trainer, image, "sampler", step=trainer.global_step, subset="train")


def _columns(data: "JerseyDataModule") -> tuple[list[str], list[int]]:
    """What is counted, and the number of unreadable train crops, where there are some."""
    unreadable = data.splits["train"].unreadable
    return [*data.labels.names, *([ILLEGIBLE_NAME] if unreadable else [])], [unreadable] if unreadable else []
