"""The index of a data set: which image files belong to which split, and which label each carries.

Two layouts are understood, and told apart by looking:

    <root>/<split>/<label>/**/*.jpg    folder per class
    <root>/<split>/**/*.jsonl          annotation files, rows {"image": "relative/to/this/file.jpg", "suffix": "23"}

A split that holds an annotation file is read from annotations (all of them, merged); its folders then mean nothing.
Hidden files and folders are ignored. Rows are sorted by label, then file name, then path, so that the same
images under the same names come in the same order, and train to the same weights, in either layout.

Crops on which nobody can read a number lie in a folder `unreadable`, or have an empty "suffix"; they come last. Crops
of one player in a row, a track, lie in one folder below the label's, or have the same "track" in their rows.

No image is opened here; that is `jersey.data.decode`.

A run is told all problems at once; the audit gives a `complain` of its own, and gets what can be understood.
"""

import os
import posixpath
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsIndex, overload

from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_NAME, SPLITS, Labels
from jersey.data.formats import read_annotations
from jersey.data.problems import Complain, all_in_one, require_clean

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})


class Paths(Sequence[Path]):
    """Paths kept as text, which takes a fifth of the memory: of a million crops 0.1 GB instead of 0.5."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = tuple(texts)

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, rows: SupportsIndex) -> Path: ...

    @overload
    def __getitem__(self, rows: slice) -> "Paths": ...

    def __getitem__(self, rows: SupportsIndex | slice) -> "Path | Paths":
        return Paths(self.texts[rows]) if isinstance(rows, slice) else Path(self.texts[rows])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Paths) and self.texts == other.texts

    def __hash__(self) -> int:
        return hash(self.texts)


@dataclass(frozen=True)
class Split:
    """The images of one split, in a fixed order.

    Args:
        name: one of SPLITS.
        paths: one image file a row.
        labels: the label of each row, or ILLEGIBLE.
        tracks: the track of each row, "" for none.
    """

    name: str
    paths: Paths
    labels: tuple[str, ...]
    tracks: tuple[str, ...]

    def __post_init__(self) -> None:
        assert len(self.paths) == len(self.labels) == len(self.tracks)

    def __len__(self) -> int:
        return len(self.paths)

    def counts(self) -> dict[str, int]:
        """Number of images of each label present."""
        return dict(Counter(label for label in self.labels if label != ILLEGIBLE))

    @property
    def unreadable(self) -> int:
        """Number of unreadable images."""
        return self.labels.count(ILLEGIBLE)

    def only(self, rows: Sequence[int]) -> "Split":
        """The split of these rows."""
        columns = (self.paths.texts, self.labels, self.tracks)
        paths, labels, tracks = (tuple(column[row] for row in rows) for column in columns)
        return Split(self.name, Paths(paths), labels, tracks)

    def readable(self) -> "Split":
        """The split without its unreadable images."""
        return self.only([row for row, label in enumerate(self.labels) if label != ILLEGIBLE])


def read_splits(root: Path, complain: Complain | None = None) -> dict[str, Split]:
    """Reads the index of every split in SPLITS.

    Args:
        root: folder of the data set.
        complain: gets each problem, and reading goes on without what cannot be understood; an image with two labels
            has a row for each. None collects the problems and raises all as one.

    Raises:
        UserError: there is no split at all; without `complain`, whatever else is wrong.
    """
    if complain is None:
        problems: list[UserError] = []
        splits = read_splits(root, problems.append)
        if problems:
            raise all_in_one(problems, root)
        return splits
    if not is_folder(root):
        state = "is a file" if _is_file(root) else "does not exist"
        raise UserError(f"the data folder {root} {state}; set `root` to the folder that holds {_listed(SPLITS)}")
    absent = [name for name in SPLITS if not is_folder(root / name)]
    if absent:
        present = sorted(entry.name for entry in _entries(root, complain) if is_folder(entry))
        problem = UserError(
            f"the data folder {root} has no folder {_listed(absent)} (it has {_listed(present) or 'none at all'}); "
            f"a data set needs {_listed(SPLITS)}"
        )
        if len(absent) == len(SPLITS):
            raise problem
        complain(problem)
    return {
        name: Split(name, Paths(()), (), ()) if name in absent else _read_split(root, name, complain) for name in SPLITS
    }


def label_map(splits: Mapping[str, Split], pinned: Sequence[str] | None = None) -> Labels:
    """The one label map of all splits: the pinned names in their order, else the labels of the train split.

    Raises:
        UserError: fewer than two classes, a class that is none, or a split with a label outside the map.
    """
    labels = Labels.from_names(splits["train"].counts()) if pinned is None else Labels(tuple(pinned))
    source = "the train split" if pinned is None else "the pinned label map"
    if len(labels) < 2:
        raise UserError(f"{source} has fewer than two classes ({_listed(labels.names)}); add images of other numbers")
    if ILLEGIBLE_NAME in labels.names:
        raise UserError(f"{source} has {ILLEGIBLE_NAME!r}, which is no class; crops of that name need no label")
    for split in splits.values():
        unknown = sorted(set(split.counts()) - set(labels.names))
        if unknown:
            raise UserError(
                f"the {split.name} split has labels that {source} lacks: {_listed(unknown)}; "
                f"add them there or remove their images from {split.name}"
            )
    return labels


def missing_labels(split: Split, labels: Labels) -> tuple[str, ...]:
    """The labels, in map order, of which the split has no image."""
    present = set(split.labels)
    return tuple(name for name in labels.names if name not in present)


def _read_split(root: Path, name: str, complain: Complain) -> Split:
    folder = root / name
    files = list(_files_below(folder, complain))
    annotations = sorted(Path(file) for file in files if _suffix(file) == ".jsonl")
    if annotations:
        labelled, track_of = read_annotations(root, annotations, complain)
    else:
        labelled, track_of = _read_class_folders(folder, files, complain)
    if all(label == ILLEGIBLE for _, label in labelled):
        source = "the annotation files" if annotations else "class folders"
        complain(UserError(f"the {name} split is empty: no labelled image in {source} below {folder}; add some"))
    rows = sorted(labelled, key=lambda row: (row[1] == ILLEGIBLE, row[1], posixpath.basename(row[0]), row[0]))
    tracks = tuple(track_of.get(path, "") for path, _ in rows)
    return Split(name, Paths(path for path, _ in rows), tuple(label for _, label in rows), tracks)


def _files_below(folder: Path, complain: Complain) -> Iterator[str]:
    """All files that are not hidden. Links to folders are followed here but no deeper, where they could loop."""
    for entry in _entries(folder, complain):
        if not is_folder(entry):
            yield str(entry)
            continue
        for parent, folders, files in os.walk(entry, onerror=lambda error: complain(_unlistable(error))):
            folders[:] = [name for name in folders if not is_hidden(name)]
            yield from (f"{parent}/{name}" for name in files if not is_hidden(name))


def _entries(folder: Path, complain: Complain) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not is_hidden(entry.name)]
    except OSError as error:
        complain(_unlistable(error))
        return []


def _read_class_folders(
    split_folder: Path, files: Iterable[str], complain: Complain
) -> tuple[set[tuple[str, str]], dict[str, str]]:
    """Each image with its label, and the track of each that has one."""
    labelled, track_of = set(), {}
    start = len(f"{split_folder}/")
    for path in files:
        if not is_image(path):
            continue
        label, slash, rest = path[start:].partition("/")
        if slash:
            labelled.add((path, sys.intern(ILLEGIBLE if label == ILLEGIBLE_NAME else label)))
            if "/" in rest:
                track_of[path] = sys.intern(posixpath.dirname(path[start:]))
        else:
            complain(UserError(f"the image {path} lies in no class folder; move it into one or remove it"))
    for label in sorted({label for _, label in labelled}):
        try:
            require_clean(label, where=str(split_folder / label))
        except UserError as problem:
            complain(problem)
    return labelled, track_of


def _unlistable(error: OSError) -> UserError:
    return UserError(f"cannot list the folder {error.filename}: {error.strerror}; give yourself the right to read it")


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1].lower()


def is_image(name: str) -> bool:
    """By its suffix."""
    return _suffix(name) in IMAGE_SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a file or folder is passed over."""
    return name.startswith(".") or name == "__MACOSX"


def is_folder(path: Path) -> bool:
    """False too where nobody can tell."""
    try:
        return path.is_dir()
    except OSError:  # a name too long, a folder without the right to look inside
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _listed(names: Sequence[str], *, most: int = 10) -> str:
    rest = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *rest])
