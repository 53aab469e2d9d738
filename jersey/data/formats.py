"""Annotation files of a split: which images they name, the label of each, and its track if it has one.

Whether the images are there is not asked here; decoding will tell.
"""

import json
import posixpath
import reprlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_NAME
from jersey.data.problems import Complain, TwoLabels, require_clean


def read_annotations(
    root: Path, annotations: Iterable[Path], complain: Complain
) -> tuple[set[tuple[str, str]], dict[str, str]]:
    """Each image with its label, an empty one only where no row gives another, and the track of each that has one."""
    label_of: dict[str, str] = {}
    track_of: dict[str, str] = {}
    labelled: set[tuple[str, str]] = set()
    unreadable: set[str] = set()
    for file in annotations:
        for where, path, label, track in _annotation_rows(root, file, complain):
            if track and track_of.setdefault(path, track) != track:
                both = f"{track_of[path]!r} and {track!r}"
                complain(UserError(f"{where}: the image {path} has the tracks {both}; keep the right one"))
            if label == ILLEGIBLE:
                unreadable.add(path)
                continue
            labelled.add((path, label))
            if label_of.setdefault(path, label) != label:
                both = f"{label_of[path]!r} and {label!r}"
                complain(TwoLabels(f"{where}: the image {path} has the labels {both}; keep the right one"))
    labelled.update((path, ILLEGIBLE) for path in unreadable if path not in label_of)
    return labelled, track_of


def _annotation_rows(root: Path, file: Path, complain: Complain) -> Iterator[tuple[str, str, str, str]]:
    """Yields (file:line, image, label, track) of each row that is not blank."""
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
            image, label, track = _parse_row(line, where=where)
            path = str(root / _inside_root(folder, image, where=where))
            require_clean(label, where=where)
            require_clean(track, what="track", where=where)
        except UserError as problem:
            complain(problem)
            continue
        yield where, path, sys.intern(label), sys.intern(track)


def _parse_row(line: str, *, where: str) -> tuple[str, str, str]:
    """The image, the label and the track."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise UserError(f"{where}: not a JSON object on one line; mend or remove the line") from None
    if not isinstance(row, dict) or not {"image", "suffix"} <= row.keys():
        raise UserError(f'{where}: not a row like {{"image": "crop.jpg", "suffix": "23"}}; mend or remove the line')
    image, label, track = row["image"], row["suffix"], row.get("track", "")
    if not isinstance(label, str):
        raise UserError(
            f"{where}: the label {reprlib.repr(label)} is not a string; put it in quotes, or 00 would become 0"
        )
    if not isinstance(image, str) or not image or "\0" in image:
        raise UserError(f"{where}: the image {reprlib.repr(image)} is not the path of a file; mend or remove the line")
    if not isinstance(track, str):
        raise UserError(f"{where}: the track {reprlib.repr(track)} is not a string; put it in quotes, or leave it out")
    if label == ILLEGIBLE_NAME:
        raise UserError(f'{where}: the label {label!r} is no number; write "suffix": "" for an unreadable crop')
    return image, label, track


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
