"""Loggers of Lightning beside the run's own files and Aim, each as a function of the run folder.

A config names one, such as `--fdl_set=logger=tensorboard`, or a function of your own. It receives the config, the
metrics by epoch and those by step. Images are in the run folder and in Aim.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from jersey.core.errors import UserError
from jersey.runs.metrics_csv import PlainLogger
from jersey.runs.state import RunState


def tensorboard_logger(*, run_dir: Path) -> Logger:
    """Returns a logger that writes the event files `run_dir/tensorboard`, which a resumed run continues.

    Raises:
        UserError: TensorBoard is not installed.
    """
    try:
        return TensorBoardLogger(run_dir, name="tensorboard", version="", default_hp_metric=False)
    except ModuleNotFoundError:
        raise UserError('logger=tensorboard needs TensorBoard; run pip install "jersey[tensorboard]"') from None


def csv_logger(*, run_dir: Path) -> Logger:
    """Returns Lightning's CSV logger, which writes `run_dir/csv/version_0`, and another version at every start."""
    return CSVLogger(run_dir, name="csv")


class NoTracker(PlainLogger):
    """Takes the place of Aim in a run that leaves it out, and records nothing."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Does nothing."""

    def log_metadata(self, name: str, metadata: Mapping[str, Any]) -> None:
        """Does nothing."""

    def outcome(self) -> AbstractContextManager[None]:
        """Returns a context without effect."""
        return nullcontext()


def connect(logger: Logger, run: RunState, config: Mapping[str, Any]) -> None:
    """Sends the config to a logger, and from now on the metrics by step, which Aim receives too.

    Args:
        logger: logger of Lightning.
        run: state of the run.
        config: config values by path.
    """
    plain = (bool, int, float, str)
    logger.log_hyperparams({path: each if isinstance(each, plain) else repr(each) for path, each in config.items()})
    log_step = run.log_step

    def log_both(metrics: Mapping[str, float], step: int) -> None:
        log_step(metrics, step)
        logger.log_metrics(dict(metrics), step)

    run.log_step = log_both
