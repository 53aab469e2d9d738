"""A LightningModule for the tests of loggers, and a reader of the metrics file."""

import csv
from pathlib import Path

import lightning as L
import torch

from jersey.runs.state import RunState


class Countdown(L.LightningModule):
    """Logs values from which the epoch can be read."""

    def __init__(self) -> None:
        super().__init__()
        self.run_state = RunState()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return self.layer(batch[0]).mean()

    def on_train_epoch_end(self) -> None:
        self.log("train/loss", float(self.current_epoch))

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None: ...

    def on_validation_epoch_end(self) -> None:
        self.log("val/loss", 10.0 + self.current_epoch)

    def test_step(self, batch: list[torch.Tensor], batch_idx: int) -> None: ...

    def on_test_epoch_end(self) -> None:
        self.log("test/loss", 0.5)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def rows_of(folder: Path) -> list[dict[str, str]]:
    """Returns the rows of a run folder's `metrics.csv`."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
