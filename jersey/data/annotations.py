"""Collects labels from folders and rows: where the image of a row lies, which split it is in, what its labels are."""

import os
import posixpath
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jersey.core.errors import UserError, shorten
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_NAME, SplitName, parse_label
from jersey.data.files import KnownPaths, OnProblem, validate_name
from jersey.data.formats import Annotation, annotation_of
from jersey.data.label_files import LabelFile
from jersey.data.layout import SPLIT_NAMES, SplitFiles, vanished_classes
from jersey.data.problems import ConflictingLabels
from jersey.data.unused import Reason, Unused

_WINDOWS_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


@dataclass
class LabeledImages:
    """The labels of the images of a split, from any number of rows.

    Attributes:
        tracklet_of: name of the tracklet of each image that has one.
        respelled: number of images by their label as it was written and as it is read, where these differ.
        files: label files of the rows.
    """

    tracklet_of: dict[str, str] = field(default_factory=dict)
    respelled: Counter[tuple[str, str]] = field(default_factory=Counter)
    files: set[str] = field(default_factory=set)
    _label_of: dict[str, str] = field(default_factory=dict)
    _labeled: set[tuple[str, str]] = field(default_factory=set)
    _illegible: set[str] = field(default_factory=set)

    def add_labeled(self, path: str, label: str, written: str) -> None:
        """Adds an image, whose label was written in some spelling."""
        if label == ILLEGIBLE:
            self._illegible.add(path)
        else:
            self._labeled.add((path, label))
        if written not in (label, ILLEGIBLE_NAME):
            self.respelled[written, label] += 1

    def add(self, path: str, row: Annotation, *, where: str, on_problem: OnProblem) -> None:
        """Adds the row of an image; two labels or two tracklets of one image are a problem."""
        tracklet, label = sys.intern(row.tracklet), sys.intern(row.label)
        if tracklet and self.tracklet_of.setdefault(path, tracklet) != tracklet:
            both = f"{shorten(self.tracklet_of[path])!r} and {shorten(tracklet)!r}"
            on_problem(UserError(f"{where}: the image {path} has the tracklets {both}; keep the correct one"))
        self.add_labeled(path, label, row.written)
        if label != ILLEGIBLE and self._label_of.setdefault(path, label) != label:
            both = f"{shorten(self._label_of[path])!r} and {shorten(label)!r}"
            on_problem(ConflictingLabels(f"{where}: the image {path} has the labels {both}; keep the correct one"))

    def labeled(self) -> set[tuple[str, str]]:
        """Returns pairs of image and label; an image is ILLEGIBLE only if no row gives it another label."""
        return self._labeled | {(path, ILLEGIBLE) for path in self._illegible if path not in self._label_of}


def labeled_by_folders(files: SplitFiles, on_problem: OnProblem) -> tuple[LabeledImages, list[Unused], list[str]]:
    """Labels the images of a split by its folders; below these, each folder is a tracklet.

    Returns:
        Labels, images that are in no such folder, and warnings.
    """
    images, refused = LabeledImages(), []
    start = len(f"{files.folder}/")
    written_as: dict[str, str] = {}
    for path in files.listing.images:
        written, slash, rest = path[start:].partition("/")
        if not slash:
            refused.append(Unused(path, Reason.REFUSED))
            on_problem(UserError(f"the image {path} is not in a class folder; move it into one or remove it"))
            continue
        label = written_as.get(written)
        if label is None:
            label = written_as[written] = sys.intern(parse_label(written))
        images.add_labeled(path, label, written)
        if "/" in rest:
            images.tracklet_of[path] = sys.intern(posixpath.dirname(path[start:]))
    for written in sorted(written_as):
        try:
            validate_name(written, where=f"{files.folder}/{written}")
        except UserError as problem:
            on_problem(problem)
    vanished, warnings = vanished_classes(files, written_as)
    for error in vanished:
        on_problem(error)
    return images, refused, warnings


def read_rows(label_file: LabelFile, on_problem: OnProblem) -> Iterator[tuple[str, Annotation]]:
    """Yields the place and the annotation of each valid row."""
    for where, row in label_file.rows():
        if isinstance(row, UserError):
            on_problem(row)
            continue
        try:
            yield where, annotation_of(row, where=where, needs_label=True)
        except UserError as problem:
            on_problem(problem)


class RowPlacer:
    """Finds the split and the path of each row of a label file.

    Args:
        root: folder of the data set.
        file: label file in it.
        split: split in whose folder the file lies; None if it lies directly in the root.
        names: name of each split's folder.
        known: all images in the data set.

    Attributes:
        backslashes: number of paths that were written with a backslash and are read with "/".
    """

    def __init__(
        self, root: Path, file: Path, split: SplitName | None, names: Mapping[SplitName, str], known: KnownPaths
    ) -> None:
        self._root = str(root)
        self._file_folder = file.parent.relative_to(root).as_posix()
        self._file_split = SPLIT_NAMES.get(file.stem.lower())
        self._split = split
        self._names = names
        self._known = known
        self.backslashes = 0
        # The root may have been given by a link, or relative to the working folder.
        self._absolute = tuple(f"{folder}/" for folder in (root.absolute(), os.path.realpath(root)))

    def place(self, row: Annotation, *, where: str) -> tuple[SplitName | None, str]:
        """Returns the split of a row, or None if nothing names it, and the path of its image.

        Raises:
            UserError: the image lies outside the data folder, or the row names another split than its file lies in.
        """
        split = SPLIT_NAMES.get(row.split.lower()) if row.split else None
        if row.split and (split is None or self._split not in (None, split)):
            wanted = self._split or "train, val or test"
            raise UserError(f"{where}: the split {shorten(row.split)!r} is not {wanted}; correct it, or leave it out")
        path = self._image_path(row.image, None if self._split or not split else self._names.get(split), where=where)
        if self._split or split:
            return self._split or split, path
        top = path[len(self._root) + 1 :].partition("/")[0]
        return SPLIT_NAMES.get(top.lower()) or self._file_split, path

    def _image_path(self, image: str, split_folder: str | None, *, where: str) -> str:
        """Returns the path of an image, which is relative to the label file or else to the folder of its split.

        Only the written path is checked: links inside the root may lead anywhere, and resolving each would be slow.
        """
        inside = self._relative_to_root(self._file_folder, image)
        path = f"{self._root}/{inside}"
        if found := self._known.find(path):
            return found
        if "\\" in image:
            if _WINDOWS_DRIVE.match(image):
                what = f"the image {shorten(image)!r} is an absolute path of Windows"
                raise UserError(f"{where}: {what}; write a path relative to this file, with /")
            self.backslashes += 1
            return self._image_path(image.replace("\\", "/"), split_folder, where=where)
        if split_folder is not None:
            in_split = f"{self._root}/{self._relative_to_root(split_folder, image)}"
            if found := self._known.find(in_split):
                return found
        if inside == ".." or inside.startswith(("../", "/")):
            what = f"the image {shorten(image)!r} lies outside the data folder {self._root}"
            raise UserError(f"{where}: {what}; write a path relative to this file, inside it")
        return path

    def _relative_to_root(self, folder: str, image: str) -> str:
        for start in self._absolute:
            if image.startswith(start):
                return posixpath.normpath(image[len(start) :])
        return posixpath.normpath(posixpath.join(folder, image))
