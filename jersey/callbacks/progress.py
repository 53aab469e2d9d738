"""Lightning's progress bar, on terminals only: in a log file each refresh would be a line of its own."""

import sys

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar


class ProgressBar(TQDMProgressBar):
    """A bar for each epoch; the line that stays is `jersey.runs.epoch_logger`'s."""

    def __init__(self) -> None:
        super().__init__()
        if not sys.stdout.isatty():
            self.disable()

    def enable(self) -> None:
        """Lightning enables the bar on rank zero; only a terminal has use for it."""
        if sys.stdout.isatty():
            super().enable()

    def get_metrics(
        self, trainer: L.Trainer, pl_module: L.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Without the run's name, which does not change."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics
