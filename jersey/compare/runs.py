"""Runs to be compared, read back from their folders: what each has read on which crop of the test split."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jersey.core.errors import UserError
from jersey.runs.folder import changed_lines, read_config, read_status

PREDICTIONS = "predictions_test.csv"
DATASET = "dataset.csv"
SEED = "seed = "


@dataclass(frozen=True)
class FinishedRun:
    """A finished run.

    Attributes:
        crops: (size in bytes, label) of each file of the test split.
        read: what was read on each file.
        config: the lines `path = value` of its config but for the seed.
    """

    folder: Path
    crops: dict[str, tuple[str, str]]
    read: dict[str, str]
    config: str
    seed: str

    def right_N(self, files: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each of the files was read right."""
        return np.array([self.read[file] == self.crops[file][1] for file in files])


def read_run(folder: Path) -> FinishedRun:
    """Reads a run's folder.

    Raises:
        UserError: it is no run, is not finished, or kept no predictions.
    """
    try:
        stage = read_status(folder)["stage"]
        lines = read_config(folder).splitlines()
    except UserError:
        raise UserError(f"{folder} is not the folder of a run; name folders such as runs/EXPERIMENT/RUN") from None
    if stage != "finished":
        raise UserError(f"the run {folder} is not finished; start it again to go on, or leave it out")
    config = "\n".join(line for line in lines if not line.startswith(SEED))
    seed = "".join(line.removeprefix(SEED) for line in lines if line.startswith(SEED))
    return FinishedRun(folder, *_predictions(folder / PREDICTIONS), config, seed)


def _predictions(table: Path) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    crops, read = {}, {}
    try:
        with table.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, strict=True):
                crops[row["file"]] = row["bytes"], row["label"]
                read[row["file"]] = row["predicted"]
    except FileNotFoundError:
        advice = "run it again with the callback PredictionsTable"
        raise UserError(f"the run {table.parent} has no {PREDICTIONS}; {advice}") from None
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise UserError(f"cannot read {table} ({error!r}); run it again, or leave it out") from None
    if not crops or None in read.values():
        raise UserError(f"{table} is cut off or empty; run it again, or leave it out")
    return crops, read


def require_comparable(a: Sequence[FinishedRun], b: Sequence[FinishedRun]) -> None:
    """Raises UserError when a run is there twice, or was tested on other crops than the first."""
    seen: set[Path] = set()
    for run in (*a, *b):
        if run.folder.resolve() in seen:
            raise UserError(f"the run {run.folder} is named twice; a run counts once, on one side")
        seen.add(run.folder.resolve())
    for run in (*a, *b)[1:]:
        if difference := _difference(a[0].crops, run.crops):
            raise UserError(
                f"{a[0].folder} and {run.folder} were tested on different crops: {difference}; "
                "compare runs of one data set"
            )


def _difference(first: dict[str, tuple[str, str]], other: dict[str, tuple[str, str]]) -> str:
    """The first thing in which the tested crops differ, as a phrase; empty when they are the same."""
    if apart := sorted(first.keys() ^ other.keys()):
        return f"{len(first)} and {len(other)} crops, and only one side has {apart[0]!r}"
    for file, (size, number) in first.items():
        if number != other[file][1]:
            return f"{file!r} is {number!r} for one and {other[file][1]!r} for the other"
        if size != other[file][0]:
            return f"{file!r} has {size} bytes for one and {other[file][0]} for the other"
    return ""


def caveats(a: Sequence[FinishedRun], b: Sequence[FinishedRun]) -> list[str]:
    """What to know of the runs before believing a comparison of them."""
    found = []
    for side, runs in (("A", a), ("B", b)):
        for run in runs[1:]:
            if changed := changed_lines(runs[0].config, run.config):
                found.append(f"the runs of {side} differ in more than the seed, {run.folder.name}: {changed}")
        seeds = [run.seed for run in runs]
        if len(set(seeds)) < len(seeds):
            found.append(f"runs of {side} share a seed ({', '.join(seeds)}), and spread less than others would")
    if len(a) != len(b):
        found.append(f"A has {len(a)} and B {len(b)} runs, taken to spread alike; give both as many to be safer")
    return found


def rarest(run: FinishedRun, most: int) -> list[str]:
    """The tested numbers with the fewest train crops, the rarest first; empty where the run did not count them."""
    try:
        with (run.folder / DATASET).open(encoding="utf-8", newline="") as file:
            counts = {row["number"]: int(row["train"]) for row in csv.DictReader(file)}
    except (OSError, ValueError, TypeError, KeyError, csv.Error):
        return []
    tested = {number for _, number in run.crops.values()}
    return sorted(tested & counts.keys(), key=lambda number: (counts[number], number))[:most]
