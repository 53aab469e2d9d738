"""Reads annotation rows, {"image": "crop.jpg", "suffix": "23", "tracklet": "7"}, one per line.

Training and audit need a label in every row, the predictor does not. The key "track" is understood as "tracklet".
No image is opened here; decoding reports those that do not exist.
"""

import json
import posixpath
import reprlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from jersey.core.errors import UserError, shorten
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_FOLDERS
from jersey.data.files import OnProblem, validate_name
from jersey.data.problems import ConflictingLabels


class Annotation(NamedTuple):
    """A row of an annotation file.

    Attributes:
        image: path as written, relative to the annotation file.
        label: label, or ILLEGIBLE.
        tracklet: name of the tracklet, or "".
    """

    image: str
    label: str
    tracklet: str


def parse_row(line: str, *, where: str, needs_label: bool) -> Annotation:
    """Parses a line that holds one JSON object.

    Args:
        line: line of an annotation file.
        where: place of the line, for errors.
        needs_label: whether the row must have a "suffix", which is ignored otherwise.

    Raises:
        UserError: the line is not such a row.
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise UserError(f"{where}: not a JSON object on one line; fix or remove the line") from None
    if not isinstance(row, dict) or "image" not in row or (needs_label and "suffix" not in row):
        example = '{"image": "crop.jpg", "suffix": "23"}' if needs_label else '{"image": "crop.jpg"}'
        raise UserError(f"{where}: not a row like {example}; fix or remove the line")
    image, label = row["image"], row["suffix"] if needs_label else ILLEGIBLE
    tracklet = row.get("tracklet", row.get("track", ""))
    if not isinstance(label, str):
        what = f"the label {shorten(reprlib.repr(label))} is not a string"
        raise UserError(f"{where}: {what}; put it in quotes, as 00 would become 0")
    if not isinstance(image, str) or not image or "\0" in image:
        raise UserError(
            f"{where}: the image {shorten(reprlib.repr(image))} is not the path of a file; fix or remove the line"
        )
    if not isinstance(tracklet, str):
        what = f"the tracklet {shorten(reprlib.repr(tracklet))} is not a string"
        raise UserError(f"{where}: {what}; put it in quotes, or leave it out")
    if label in ILLEGIBLE_FOLDERS:
        raise UserError(
            f'{where}: the label {shorten(label)!r} is not a number; write "suffix": "" for an illegible crop'
        )
    validate_name(label, where=where)
    validate_name(tracklet, what="tracklet", where=where)
    return Annotation(image, label, tracklet)


def numbered_lines(file: Path) -> Iterator[tuple[str, str]]:
    """Yields ("file:line", text) for each line that is not blank, without the byte order mark that Windows writes.

    Raises:
        UserError: the file cannot be read or is not UTF-8 text.
    """
    try:
        content = file.read_bytes()
        lines = content.decode("utf-8-sig").split("\n")
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}; repair or remove it") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{file}:{line}: not UTF-8 text; save the file as UTF-8") from None
    return ((f"{file}:{number}", line) for number, line in enumerate(lines, start=1) if line.strip())


def read_annotations(
    root: Path, annotations: Iterable[Path], on_problem: OnProblem
) -> tuple[set[tuple[str, str]], dict[str, str]]:
    """Reads and merges annotation files.

    Args:
        root: folder of the data set, in which all images must lie.
        annotations: annotation files below it.
        on_problem: function that is called with each problem.

    Returns:
        Pairs of image and label, where an image is ILLEGIBLE only if no row gives it another label; and the tracklet of
        each image that has one.
    """
    label_of: dict[str, str] = {}
    tracklet_of: dict[str, str] = {}
    labeled: set[tuple[str, str]] = set()
    illegible: set[str] = set()
    for where, path, label, tracklet in _labeled_rows(root, annotations, on_problem):
        if tracklet and tracklet_of.setdefault(path, tracklet) != tracklet:
            both = f"{shorten(tracklet_of[path])!r} and {shorten(tracklet)!r}"
            on_problem(UserError(f"{where}: the image {path} has the tracklets {both}; keep the correct one"))
        if label == ILLEGIBLE:
            illegible.add(path)
            continue
        labeled.add((path, label))
        if label_of.setdefault(path, label) != label:
            both = f"{shorten(label_of[path])!r} and {shorten(label)!r}"
            on_problem(ConflictingLabels(f"{where}: the image {path} has the labels {both}; keep the correct one"))
    labeled.update((path, ILLEGIBLE) for path in illegible if path not in label_of)
    return labeled, tracklet_of


def _labeled_rows(
    root: Path, annotations: Iterable[Path], on_problem: OnProblem
) -> Iterator[tuple[str, str, str, str]]:
    """Yields the place ("file:line"), the image path below the root, the label and the tracklet of each valid row."""
    for file in annotations:
        folder = file.parent.relative_to(root).as_posix()
        try:
            lines = numbered_lines(file)
        except UserError as problem:
            on_problem(problem)
            continue
        for where, line in lines:
            try:
                row = parse_row(line, where=where, needs_label=True)
                path = str(root / _inside_root(folder, row.image, where=where))
            except UserError as problem:
                on_problem(problem)
            else:
                yield where, path, sys.intern(row.label), sys.intern(row.tracklet)


def _inside_root(folder: str, image: str, *, where: str) -> str:
    """Returns the path, relative to the root, of `image`, which is relative to `folder`.

    Only the written path is checked: links inside the root may lead anywhere, and resolving each would be slow.
    """
    path = posixpath.normpath(f"{folder}/{image}")
    if image.startswith("/") or path == ".." or path.startswith("../"):
        what = f"the image {shorten(image)!r} lies outside the data folder"
        raise UserError(f"{where}: {what}; write a path relative to this file, inside it")
    return path
