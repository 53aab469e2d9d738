"""The index of a data set: which image files belong to which split, and which label each carries.

Two layouts are understood, and told apart by looking:

    <root>/<split>/<label>/**/*.jpg    folder per class
    <root>/<split>/**/*.jsonl          annotation files, rows {"image": "relative/to/this/file.jpg", "suffix": "23"}

A split that holds an annotation file is read from annotations (all of them, merged); its folders then mean nothing.
Hidden files and folders are ignored. Rows are sorted by label, then file name, then path, so that the same
images under the same names come in the same order, and train to the same weights, in either layout.

No image is opened here; that is `jersey.data.decode`.

A run stops at the first problem; the audit gives a `complain` that returns, and gets what can be understood.
"""

import json
import os
import posixpath
import re
import reprlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsIndex, overload

from jersey.errors import UserError
from jersey.labels import Labels

SPLITS = ("train", "val", "test")
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # and what Python puts in place of bytes that are no UTF-8

Complain = Callable[[UserError], None]


class RowProblem(UserError):
    """Rows that cannot be used but are in the index when `complain` returns: missing files, images with two labels."""


def refuse(problem: UserError) -> None:
    """The strict `complain`."""
    raise problem


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
        labels: the label of each row.
        unreadable: how many images the annotations mark with an empty label; an image is left out
            unless another row gives it a number.
    """

    name: str
    paths: Paths
    labels: tuple[str, ...]
    unreadable: int = 0

    def __len__(self) -> int:
        return len(self.paths)

    def counts(self) -> dict[str, int]:
        """Number of images of each label present."""
        return dict(Counter(self.labels))


def read_splits(root: Path, complain: Complain = refuse) -> dict[str, Split]:
    """Reads the index of every split in SPLITS.

    Args:
        root: folder of the data set.
        complain: gets each problem; where it returns, reading goes on without what cannot be understood, and an image
            with two labels has a row for each.

    Raises:
        UserError: there is no split at all; by the default `complain`, whatever else is wrong.
    """
    if not _is_folder(root):
        state = "is a file" if _is_file(root) else "does not exist"
        raise UserError(f"the data folder {root} {state}; set `root` to the folder that holds {_listed(SPLITS)}")
    absent = [name for name in SPLITS if not _is_folder(root / name)]
    if absent:
        present = sorted(entry.name for entry in _entries(root, complain) if _is_folder(entry))
        problem = UserError(
            f"the data folder {root} has no folder {_listed(absent)} (it has {_listed(present) or 'none at all'}); "
            f"a data set needs {_listed(SPLITS)}"
        )
        (refuse if len(absent) == len(SPLITS) else complain)(problem)
    return {
        name: Split(name, Paths(()), ()) if name in absent else _read_split(root, name, complain) for name in SPLITS
    }


def label_map(splits: Mapping[str, Split], pinned: Sequence[str] | None = None) -> Labels:
    """The one label map of all splits: the pinned names in their order, else the labels of the train split.

    Raises:
        UserError: fewer than two classes, or a split with a label outside the map.
    """
    labels = Labels.from_names(splits["train"].labels) if pinned is None else Labels(tuple(pinned))
    source = "the train split" if pinned is None else "the pinned label map"
    if len(labels) < 2:
        raise UserError(f"{source} has fewer than two classes ({_listed(labels.names)}); add images of other numbers")
    for split in splits.values():
        unknown = sorted(set(split.labels) - set(labels.names))
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
        labelled, unreadable = _read_annotations(root, annotations, complain)
    else:
        labelled, unreadable = _read_class_folders(folder, files, complain), 0
    if not labelled:
        source = "the annotation files" if annotations else "class folders"
        complain(UserError(f"the {name} split is empty: no labelled image in {source} below {folder}; add some"))
    _require_plain_names(sorted({path for path, _ in labelled}), complain)
    rows = sorted(labelled, key=lambda row: (row[1], posixpath.basename(row[0]), row[0]))
    return Split(name, Paths(path for path, _ in rows), tuple(label for _, label in rows), unreadable)


def _files_below(folder: Path, complain: Complain) -> Iterator[str]:
    """All files that are not hidden. Links to folders are followed here but no deeper, where they could loop."""
    for entry in _entries(folder, complain):
        if not _is_folder(entry):
            yield str(entry)
            continue
        for parent, folders, files in os.walk(entry, onerror=lambda error: complain(_unlistable(error))):
            folders[:] = [name for name in folders if not _is_hidden(name)]
            yield from (f"{parent}/{name}" for name in files if not _is_hidden(name))


def _entries(folder: Path, complain: Complain) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not _is_hidden(entry.name)]
    except OSError as error:
        complain(_unlistable(error))
        return []


def _read_class_folders(split_folder: Path, files: Iterable[str], complain: Complain) -> set[tuple[str, str]]:
    labelled = set()
    start = len(f"{split_folder}/")
    for path in files:
        if _suffix(path) not in IMAGE_SUFFIXES:
            continue
        label, slash, _ = path[start:].partition("/")
        if slash:
            labelled.add((path, sys.intern(label)))
        else:
            complain(UserError(f"the image {path} lies in no class folder; move it into one or remove it"))
    for label in sorted({label for _, label in labelled}):
        _require_clean(label, complain, where=str(split_folder / label))
    return labelled


def _read_annotations(root: Path, annotations: Iterable[Path], complain: Complain) -> tuple[set[tuple[str, str]], int]:
    """Each image with its label, and how many images have an empty label in some row."""
    label_of: dict[str, str] = {}
    labelled: set[tuple[str, str]] = set()
    unreadable: set[str] = set()
    for file in annotations:
        for where, path, label in _annotation_rows(root, file, complain):
            if not label:
                unreadable.add(path)
                continue
            labelled.add((path, label))
            if label_of.setdefault(path, label) != label:
                both = f"{label_of[path]!r} and {label!r}"
                complain(RowProblem(f"{where}: the image {path} has the labels {both}; keep the right one"))
    _require_images(label_of, complain)
    return labelled, len(unreadable)


def _annotation_rows(root: Path, file: Path, complain: Complain) -> Iterator[tuple[str, str, str]]:
    """Yields (file:line, image, label) of each row that is not blank."""
    folder = file.parent.relative_to(root).as_posix()
    try:
        lines = _read_utf8(file).split("\n")
    except UserError as problem:
        complain(problem)
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            image, label = _parse_row(line, where=where)
            path = str(root / _inside_root(folder, image, where=where))
        except UserError as problem:
            complain(problem)
            continue
        _require_clean(label, complain, where=where)
        yield where, path, sys.intern(label)


def _parse_row(line: str, *, where: str) -> tuple[str, str]:
    """The image and the label."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise UserError(f"{where}: not a JSON object on one line; mend or remove the line") from None
    if not isinstance(row, dict) or not {"image", "suffix"} <= row.keys():
        raise UserError(f'{where}: not a row like {{"image": "crop.jpg", "suffix": "23"}}; mend or remove the line')
    image, label = row["image"], row["suffix"]
    if not isinstance(label, str):
        shown = reprlib.repr(label)
        raise UserError(f"{where}: the label {shown} is not a string; put it in quotes, or 00 would become 0")
    if not isinstance(image, str) or not image:
        raise UserError(f"{where}: the image {reprlib.repr(image)} is not the path of a file; mend or remove the line")
    return image, label


def _read_utf8(file: Path) -> str:
    """The text of a file; a byte order mark, as Windows editors write it, is dropped."""
    try:
        content = file.read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}; mend or remove it") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{file}:{line}: not UTF-8 text; save the file as UTF-8") from None


def _inside_root(folder: str, image: str, *, where: str) -> str:
    """The path relative to the root of `image`, given relative to `folder`.

    Only the written path is judged: links inside the root may lead anywhere, and resolving each would be slow.
    """
    path = posixpath.normpath(f"{folder}/{image}")
    if image.startswith("/") or path == ".." or path.startswith("../"):
        raise UserError(
            f"{where}: the image {image!r} lies outside the data folder; give a path relative to this file, inside it"
        )
    return path


def _require_images(paths: Iterable[str], complain: Complain) -> None:
    absent = sorted(path for path in paths if not _is_file(Path(path)))
    if absent:
        state = f"do not exist: {_listed(absent, most=3)}; add them or remove their rows"
        complain(RowProblem(f"{len(absent)} images named by the annotations {state}"))


def _require_clean(label: str, complain: Complain, *, where: str) -> None:
    if label != label.strip():
        complain(UserError(f"{where}: the label {label!r} has white space around it; remove that"))
    if not label.isprintable():
        complain(UserError(f"{where}: the label {label!r} has characters that cannot be seen or written; rename it"))


def _require_plain_names(paths: Iterable[str], complain: Complain) -> None:
    """Reports, tables and terminals show the names of images, which could break a line there, or give orders."""
    for path in paths:
        if _CONTROL.search(path):
            complain(UserError(f"the file name {path!a} is not UTF-8, or has control characters; rename the file"))


def _unlistable(error: OSError) -> UserError:
    return UserError(f"cannot list the folder {error.filename}: {error.strerror}; give yourself the right to read it")


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1].lower()


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_folder(path: Path) -> bool:
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
