"""The checkpoints of a run: `best.ckpt` and `last.ckpt`, each overwritten whole at the end of an epoch."""

from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint


class RunCheckpoint(ModelCheckpoint):
    """One checkpoint file `<run folder>/checkpoints/<filename>.ckpt`.

    Saved at the end of the training epoch, after validation, so that a resumed run starts with the next epoch.

    Args:
        filename: without suffix.
        monitor: the metric whose best epoch is kept; None keeps the latest epoch.
        mode: whether "max" or "min" is best; of equal epochs the first is kept.
    """

    def __init__(self, *, filename: str, monitor: str | None = None, mode: str = "max") -> None:
        super().__init__(
            filename=filename,
            monitor=monitor,
            mode=mode,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
            auto_insert_metric_name=False,
        )

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.dirpath = str(Path(trainer.default_root_dir) / "checkpoints")
        super().setup(trainer, pl_module, stage)
