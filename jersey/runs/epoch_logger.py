"""One line an epoch, for a person to follow and for a log file to keep."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

log = logging.getLogger(__name__)


class EpochLine(Logger):
    """Lightning logger that writes the losses and main scores of each epoch to jersey's log.

    A logger and not a callback, since callbacks run before the module has scored the epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._scores: dict[str, float] = {}
        self._started = time.monotonic()

    @property
    def name(self) -> str:
        """What Lightning calls this logger."""
        return "epoch_line"

    @property
    def version(self) -> str:
        """There is one."""
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Ignores hyperparameters."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Gathers an epoch's scores; those of the train split come last and complete the line."""
        self._scores |= metrics
        if "train/loss" not in metrics or "val/loss" not in self._scores:
            return
        now = time.monotonic()
        log.info(
            "epoch %2d  train loss %.3f  val loss %.3f  val top-1 %5.1f %%  val macro recall %5.1f %%  %.0f s",
            metrics["epoch"],
            self._scores["train/loss"],
            self._scores["val/loss"],
            100 * self._scores["val/acc_top1"],
            100 * self._scores["val/recall_macro"],
            now - self._started,
        )
        self._started = now
