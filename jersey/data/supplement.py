"""Drawn train crops for numbers that a data set shows too rarely to learn them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jersey.core.labels import JERSEY_NUMBER
from jersey.data.split import Paths, Split
from jersey.synth.generate import crop_path, generate


@dataclass(frozen=True, kw_only=True)
class SyntheticSupplement:
    """Fills every number of one or two digits that has train crops, but fewer than `min_per_class`, up with drawn ones.

    Args:
        folder: for the drawn crops, not below that of the data.
        min_per_class: train crops that each number shall have.
        size_px: side of a drawn crop.
        seed: crops are a function of it; for data that jersey itself has drawn, another than that of the data.
    """

    folder: str
    min_per_class: int
    size_px: int = 96
    seed: int = 1

    def missing(self, train: Split) -> dict[str, int]:
        """How many crops are to be drawn of each number."""
        counts = {name: self.min_per_class - count for name, count in sorted(train.counts().items())}
        return {name: count for name, count in counts.items() if count > 0 and JERSEY_NUMBER.fullmatch(name)}

    def generate(self, train: Split) -> None:
        """Draws them, unless they are there; UserError where `folder` holds others, as for an earlier data set."""
        if missing := self.missing(train):
            numbers = len(missing)  # a data set has three splits; of this one only the first is used
            counts: dict[str, Any] = {"train": tuple(missing.values()), "val": numbers, "test": numbers}
            generate(Path(self.folder), numbers=tuple(missing), size_px=self.size_px, seed=self.seed, **counts)

    def added_to(self, train: Split) -> Split:
        """The split with the drawn crops at its end, whether they have been drawn yet or not."""
        labels = [name for name, count in self.missing(train).items() for _ in range(count)]
        drawn = [Path(self.folder) / crop_path("train", index, label, "folders") for index, label in enumerate(labels)]
        paths, tracklets = Paths((*train.paths.texts, *map(str, drawn))), (*train.tracklets, *("" for _ in drawn))
        return replace(train, paths=paths, labels=(*train.labels, *labels), tracklets=tracklets)
