"""`metrics.csv`, the durable record of a run's metrics, `steps.csv`, those by step, and one log line per epoch.

The file has one row per epoch, is complete after every epoch, and is continued on resume; Lightning's CSVLogger writes
one row per call and cannot continue its file.
"""

import csv
import io
import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from jersey.core.atomic import as_write_error
from jersey.core.errors import UserError, shorten
from jersey.core.tables import csv_line, read_csv, write_csv
from jersey.runs.state import RunState

log = logging.getLogger(__name__)

KEYS = ("epoch", "step")  # the first columns
STEPS = "steps.csv"

Curves = dict[str, list[tuple[int, float]]]
"""The epochs and values of each metric, by name."""


class PlainLogger(Logger):
    """The interface that Lightning requires of a logger, without hyperparameters, which are in the run folder."""

    name = "jersey"
    version = ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing."""


class MetricsCsv(PlainLogger):
    """Lightning logger that writes `<run_dir>/metrics.csv`.

    The columns are `epoch`, `step` (the last logged one of the epoch), then every metric by name; a missing metric is
    empty. An epoch has one row, which is replaced if the epoch is repeated after a resume. The test metrics have the
    last row, with the epoch and step at which training ended.

    Args:
        run_dir: existing folder; a `metrics.csv` in it is read and continued.

    Raises:
        UserError: the existing file was not written by this class.
    """

    def __init__(self, *, run_dir: Path) -> None:
        super().__init__()
        self._path = run_dir / "metrics.csv"
        self._rows, self._test_row = _read(self._path)
        self._without_epoch: dict[str, str] = {}

    def join(self, run: RunState) -> None:
        """Writes an epoch's metrics before its checkpoint."""
        run.record = self.log_metrics

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Adds metrics to the row of `metrics["epoch"]` and writes the file; without epoch they join the next row."""
        cells = {name: repr(float(value)) for name, value in metrics.items() if name not in KEYS}
        if "epoch" not in metrics:
            self._without_epoch |= cells
            return
        if _are_from_test(cells):
            self._test_row = cells
        else:
            epoch = int(metrics["epoch"])
            keys = {"epoch": str(epoch), "step": "" if step is None else str(step)}
            self._rows[epoch] = self._rows.get(epoch, {}) | self._without_epoch | cells | keys
            self._without_epoch = {}
        self._write()

    def _write(self) -> None:
        rows = [self._rows[epoch] for epoch in sorted(self._rows)]
        if self._test_row:
            rows.append(self._test_row | {key: rows[-1].get(key, "") if rows else "" for key in KEYS})
        header = (*KEYS, *sorted({name for row in rows for name in row} - set(KEYS)))
        write_csv(self._path, header, ([row.get(name, "") for name in header] for row in rows))


def read_metrics(path: Path) -> tuple[Curves, dict[str, float]]:
    """Returns the epochs and values of each metric, and the test scores by name; both are empty if there is no file.

    Raises:
        UserError: the file was not written by `MetricsCsv`.
    """
    rows, test_row = _read(path)
    curves: Curves = {}
    for epoch, cells in rows.items():
        for name in cells.keys() - set(KEYS):
            curves.setdefault(name, []).append((epoch, float(cells[name])))
    return curves, {name: float(cell) for name, cell in test_row.items() if name not in KEYS}


def _read(path: Path) -> tuple[dict[int, dict[str, str]], dict[str, str]]:
    """Returns the non-empty cells, which are numbers, by column: of each epoch, and of the test."""
    rows: dict[int, dict[str, str]] = {}
    test_row: dict[str, str] = {}
    if not path.exists():
        return rows, test_row
    try:
        text = path.read_text(encoding="utf-8")
        if tuple(next(csv.reader(io.StringIO(text), strict=True), ())[: len(KEYS)]) != KEYS:
            raise ValueError("its columns differ")
        for row in read_csv(io.StringIO(text), strict=True):
            cells = {name: value for name, value in row.items() if value}
            for value in cells.values():
                float(value)
            if _are_from_test(cells):
                test_row = cells
            else:
                rows[int(cells["epoch"])] = cells
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(
            f"cannot continue {path} ({shorten(repr(error))}): it was edited or is damaged; restore it or move it away"
        ) from None
    return rows, test_row


def _are_from_test(cells: Iterable[str]) -> bool:
    return any(name.startswith("test/") for name in cells)


class StepsCsv:
    """Appends rows to `<run_dir>/steps.csv`: the step, the trained epochs after it, and the metrics by name.

    Args:
        run_dir: folder of the run; rows of an existing file are kept up to `first_step`, because a resumed run repeats
            the steps since its checkpoint.
        first_step: first step to be appended.
    """

    def __init__(self, run_dir: Path, *, first_step: int) -> None:
        self._path = run_dir / STEPS
        rows = [row for row in _read_steps(self._path) if int(row["step"]) < first_step]
        self._header = list(rows[0]) if rows else []
        if rows:
            write_csv(self._path, self._header, [list(row.values()) for row in rows])

    def append(self, step: int, epochs: float, metrics: Mapping[str, float]) -> None:
        """Appends a row."""
        if not self._header:
            self._header = ["step", "epochs", *metrics]
            write_csv(self._path, self._header, [])
        cells = {"step": step, "epochs": round(epochs, 6), **metrics}
        with as_write_error(self._path), self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(csv_line([cells.get(name, "") for name in self._header]) + "\n")


def read_rates(run_dir: Path) -> dict[str, list[tuple[float, float]]]:
    """Returns the trained epochs and the learning rate of each recorded step by name; empty without `steps.csv`."""
    rates: dict[str, list[tuple[float, float]]] = {}
    for row in _read_steps(run_dir / STEPS):
        for name, cell in row.items():
            if name.startswith("lr_step") and cell:
                rates.setdefault(name.replace("lr_step", "lr", 1), []).append((float(row["epochs"]), float(cell)))
    return rates


def _read_steps(path: Path) -> list[dict[str, str]]:
    """Returns the complete rows; a killed run may have left a part of a row, and the file is no record to fail for."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = list(read_csv(file))
    return [row for row in rows if None not in row and None not in row.values() and _are_numbers(row.values())]


def _are_numbers(cells: Iterable[str]) -> bool:
    try:
        for cell in cells:
            float(cell or 0)
    except ValueError:
        return False
    return True


class EpochLogger(PlainLogger):
    """Lightning logger that writes the losses and main scores of each epoch to jersey's log.

    It is not a callback, because callbacks run before the module has evaluated the epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._scores: dict[str, float] = {}
        self._started_s = time.monotonic()

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Collects an epoch's scores, and logs the line when those of the train split arrive, which come last."""
        self._scores |= metrics
        if "train/loss" not in metrics or "val/loss" not in self._scores:
            return
        now_s = time.monotonic()
        log.info(
            "epoch %2d  train loss %.3f  val loss %.3f  val top-1 %5.1f %%  val macro recall %5.1f %%  %.0f s",
            metrics["epoch"] + 1,
            self._scores["train/loss"],
            self._scores["val/loss"],
            100 * self._scores["val/acc_top1"],
            100 * self._scores["val/recall_macro"],
            now_s - self._started_s,
        )
        self._started_s = now_s
