"""Defines the rows of a split, the label map of all splits, and the use of illegible crops.

In training, the target of an illegible crop is the uniform distribution over the labels (as in
https://arxiv.org/abs/1711.09325) instead of one more label, so that the network's confidence separates such crops from
legible ones. In evaluation it is excluded from every metric but `auroc_legible` (see `jersey.evaluation.metrics`).
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, SupportsIndex

import numpy as np

from jersey.core.errors import UserError, summarize
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_FOLDERS, Labels

Illegible = Literal["train", "score", "drop"]


@dataclass(frozen=True)
class Paths(Sequence[Path]):
    """A sequence of paths that is stored as strings, in a fifth of the memory: 0.1 GB for a million crops.

    Attributes:
        texts: paths as strings.
    """

    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, row: SupportsIndex) -> Path:  # type: ignore[override]  # nobody needs slices
        return Path(self.texts[row])


@dataclass(frozen=True)
class Split:
    """The images of a split, in a fixed order.

    Attributes:
        name: one of SPLITS.
        paths: image files.
        labels: label of each image, or ILLEGIBLE.
        tracklets: name of the tracklet of each image, or "".
    """

    name: str
    paths: Paths
    labels: tuple[str, ...]
    tracklets: tuple[str, ...]

    def __post_init__(self) -> None:
        assert len(self.paths) == len(self.labels) == len(self.tracklets)

    def __len__(self) -> int:
        return len(self.paths)

    def counts(self) -> dict[str, int]:
        """Returns the number of images of each label that occurs, without illegible ones."""
        return dict(Counter(label for label in self.labels if label != ILLEGIBLE))

    @property
    def illegible(self) -> int:
        """Number of illegible images."""
        return self.labels.count(ILLEGIBLE)

    def only(self, rows: Sequence[int]) -> "Split":
        """Returns the split of these row indices, in their order."""
        columns = (self.paths.texts, self.labels, self.tracklets)
        paths, labels, tracklets = (tuple(column[row] for row in rows) for column in columns)
        return Split(self.name, Paths(paths), labels, tracklets)

    def legible(self) -> "Split":
        """Returns the split without its illegible images."""
        return self.only([row for row, label in enumerate(self.labels) if label != ILLEGIBLE])


def relative_name(path: Path, root: Path) -> str:
    """Returns a path relative to the root of the data, with "/"; synthetic train crops may lie outside it."""
    return (path.relative_to(root) if path.is_relative_to(root) else Path(os.path.relpath(path, root))).as_posix()


def label_map(splits: Mapping[str, Split], pinned: Sequence[str] | None = None) -> Labels:
    """Returns the label map of all splits.

    Args:
        splits: splits by name.
        pinned: names of the label map in order; None takes those of the train split.

    Raises:
        UserError: there are fewer than two classes, one is called illegible, or a split has a label outside the map.
    """
    labels = Labels.from_names(splits["train"].counts()) if pinned is None else Labels(tuple(pinned))
    source = "the train split" if pinned is None else "the pinned label map"
    if len(labels) < 2:
        names = ", ".join(labels.names)
        raise UserError(f"{source} has fewer than two classes ({names}); add images of other numbers")
    if reserved := set(ILLEGIBLE_FOLDERS).intersection(labels.names):
        raise UserError(f"{source} has {min(reserved)!r}, which is not a class; illegible crops need no label")
    for split in splits.values():
        if unknown := sorted(set(split.counts()) - set(labels.names)):
            what = f"the {split.name} split has labels that {source} lacks: {summarize(unknown, limit=10)}"
            raise UserError(f"{what}; add them there or remove their images from {split.name}")
    return labels


def missing_labels(split: Split, labels: Labels) -> tuple[str, ...]:
    """Returns the labels, in map order, of which the split has no image."""
    present = set(split.labels)
    return tuple(name for name in labels.names if name not in present)


def select_illegible(splits: Mapping[str, Split], illegible: Illegible) -> dict[str, Split]:
    """Removes illegible crops: "train" keeps all of them, "score" keeps those of val and test, "drop" keeps none."""
    emptied = {"train": (), "score": ("train",), "drop": tuple(splits)}[illegible]
    return {name: split.legible() if name in emptied else split for name, split in splits.items()}


def take_per_label(split: Split, count: int, *, seed: int) -> Split:
    """Returns the split with at most `count` images of each label, and at most as many illegible ones.

    They are sampled per label, so with the same seed fewer images are a subset of more, and the images of one label do
    not depend on those of another. The order of the rows is kept.
    """
    rows: dict[str, list[int]] = {}
    for row, label in enumerate(split.labels):
        rows.setdefault(label, []).append(row)
    kept: list[int] = []
    for label, of_label in rows.items():
        order = np.random.default_rng([seed, *label.encode()]).permutation(len(of_label))
        kept.extend(of_label[index] for index in order[:count])
    return split.only(sorted(kept))
