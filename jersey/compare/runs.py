"""Reads the test predictions of runs from their folders, and checks that the runs can be compared."""

import argparse
import ast
import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from jersey.core.command_line import path_argument
from jersey.core.errors import UserError, shorten
from jersey.core.labels import ILLEGIBLE_NAME
from jersey.core.tables import read_csv
from jersey.runs.folder import changed_lines, read_config, read_status

Row = TypeVar("Row")

PREDICTIONS = "predictions_test.csv"
DATASET = "dataset.csv"
SEED = "seed = "


@dataclass(frozen=True)
class FinishedRun:
    """A finished run.

    Attributes:
        folder: folder of the run.
        crops: size in bytes and label of each legible crop of the test split, both as text, by file.
        predictions: predicted label of each crop, by file.
        config: the lines `path = value` of its config, without the seed.
        seed: seed, as text from the config.
    """

    folder: Path
    crops: dict[str, tuple[str, str]]
    predictions: dict[str, str]
    config: str
    seed: str

    def correct_N(self, files: Sequence[str]) -> NDArray[np.bool_]:
        """Returns whether the prediction on each of the files is correct, in their order."""
        return np.array([self.predictions[file] == self.crops[file][1] for file in files])


def read_run(folder: Path) -> FinishedRun:
    """Reads a run's folder.

    Raises:
        UserError: the folder is not a run, or the run is not finished or has no predictions.
    """
    lines = finished_config(folder).splitlines()
    config = "\n".join(line for line in lines if not line.startswith(SEED))
    seed = "".join(line.removeprefix(SEED) for line in lines if line.startswith(SEED))
    return FinishedRun(folder, *_predictions(folder / PREDICTIONS), config, seed)


def finished_config(folder: Path) -> str:
    """Returns the lines `path = value` of the config of a finished run.

    Raises:
        UserError: the folder is not a run, or the run is not finished.
    """
    try:
        stage, config = read_status(folder)["stage"], read_config(folder)
    except UserError:
        what = f"{folder} is not the folder of a run; name folders such as runs/EXPERIMENT/RUN"
        raise UserError(f"{what}, or runs/EXPERIMENT/*/ for all of an experiment") from None
    if stage != "finished":
        raise UserError(f"the run {folder} is not finished; start it again to continue, or leave it out")
    return config


def config_value(config: str, path: str) -> Any:
    """Returns a value from the lines `path = value` of a config; None if it is not set."""
    lines = (line.partition(" = ") for line in config.splitlines())
    return next((ast.literal_eval(value) for name, _, value in lines if name == path), None)


def legible_rows(table: Path, convert: Callable[[Mapping[str, str]], Row]) -> list[Row]:
    """Reads the rows of legible crops from a table of predictions.

    Args:
        table: file in the folder of a run.
        convert: function of the cells of a row by column.

    Raises:
        UserError: there is no such table, or a row cannot be read or converted.
    """
    try:
        with table.open(encoding="utf-8", newline="") as file:
            return [convert(row) for row in read_csv(file, strict=True) if row["label"] != ILLEGIBLE_NAME]
    except FileNotFoundError:
        split = "a test split and " if table.name == PREDICTIONS else ""
        advice = f"run it again with {split}the callback PredictionsTable"
        raise UserError(f"the run {table.parent} has no {table.name}; {advice}") from None
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"cannot read {table} ({shorten(repr(error))}); run it again, or leave it out") from None


def _predictions(table: Path) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """Returns `FinishedRun.crops` and `FinishedRun.predictions`."""
    rows = legible_rows(table, lambda row: (row["file"], row["size_bytes"], row["label"], row["predicted"]))
    crops = {file: (size_bytes, label) for file, size_bytes, label, _ in rows}
    predictions = {file: predicted for file, *_, predicted in rows}
    if not crops or None in predictions.values():
        raise UserError(f"{table} is truncated or empty; run it again, or leave it out")
    return crops, predictions


def read_comparable(folders: Sequence[Path]) -> list[FinishedRun]:
    """Reads the folders of runs that were tested on the same crops.

    Raises:
        UserError: a run cannot be read, is named twice, or was tested on other crops than the first.
    """
    runs = [read_run(folder) for folder in folders]
    require_comparable(runs[:1], runs[1:])
    return runs


def runs_parser(module: str, doc: str | None, *, which: str) -> argparse.ArgumentParser:
    """Returns the parser of `python -m module RUN...`; `doc` is its description, `which` the help of RUN."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=doc, formatter_class=style)
    parser.add_argument("runs", type=path_argument, nargs="+", metavar="RUN", help=which)
    return parser


def require_comparable(a: Sequence[FinishedRun], b: Sequence[FinishedRun]) -> None:
    """Raises UserError if a run is named twice, or was not tested on the same crops as the first."""
    seen: set[Path] = set()
    for run in (*a, *b):
        if run.folder.resolve() in seen:
            raise UserError(f"the run {run.folder} is named twice; leave one of them out")
        seen.add(run.folder.resolve())
    for run in (*a, *b)[1:]:
        if difference := _difference(a[0].crops, run.crops):
            raise UserError(
                f"{a[0].folder} and {run.folder} were tested on different crops: {difference}; "
                "compare runs of one data set"
            )


def _difference(first: dict[str, tuple[str, str]], other: dict[str, tuple[str, str]]) -> str:
    """Describes the first difference between the tested crops; empty if they are the same."""
    if unpaired := sorted(first.keys() ^ other.keys()):
        return f"{len(first)} and {len(other)} crops, and only one side has {unpaired[0]!r}"
    for file, (size, label) in first.items():
        if label != other[file][1]:
            return f"{file!r} has the label {label!r} in one and {other[file][1]!r} in the other"
        if size != other[file][0]:
            return f"{file!r} has {size} bytes in one and {other[file][0]} in the other"
    return ""


def caveats(a: Sequence[FinishedRun], b: Sequence[FinishedRun]) -> list[str]:
    """Returns the limitations of a comparison of these runs, one phrase each."""
    found = []
    for side, runs in (("A", a), ("B", b)):
        for run in runs[1:]:
            if changed := changed_lines(runs[0].config, run.config):
                found.append(f"the runs of {side} differ in more than the seed, {run.folder.name}: {changed}")
        seeds = [run.seed for run in runs]
        if len(set(seeds)) < len(seeds):
            found.append(f"runs of {side} share a seed ({', '.join(seeds)}), so their spread is underestimated")
    if len(a) != len(b):
        found.append(f"A has {len(a)} and B {len(b)} runs, and equal spread is assumed; equal counts are safer")
    return found


def rarest(run: FinishedRun, max_labels: int) -> list[str]:
    """Returns the tested labels with the fewest train crops, rarest first; empty if the run has no counts."""
    try:
        with (run.folder / DATASET).open(encoding="utf-8", newline="") as file:
            counts = {row["label"]: int(row["train"]) for row in read_csv(file)}
    except (OSError, ValueError, TypeError, KeyError, csv.Error):
        return []
    tested = {label for _, label in run.crops.values()}
    return sorted(tested & counts.keys(), key=lambda label: (counts[label], label))[:max_labels]
