"""Recognizes label files by their content, and reads the rows of each format in the same way."""

import json
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from jersey.core.errors import UserError
from jersey.data.files import suffix_of
from jersey.data.formats import Fields, csv_rows, find_columns, json_object, numbered_lines, read_text

Format = Literal["folders", "jsonl", "csv", "json", "soccernet"]
"""How a split is labeled: by the names of its folders, or by label files of one format."""

DESCRIPTIONS: dict[Format, str] = {
    "folders": "one folder per number",
    "jsonl": "JSONL rows",
    "csv": "CSV rows",
    "json": "JSON rows",
    "soccernet": "SoccerNet tracklets",
}

Rows = Iterator[tuple[str, Fields | UserError]]


@dataclass(frozen=True)
class LabelFile:
    """A file of labels.

    Attributes:
        path: the file.
        format: its format.
        rows: function that returns the place of each row and its cells by column, or the error of the row.
        is_detection: whether the labels are boxes in larger images (COCO), which training cannot use.
    """

    path: Path
    format: Format
    rows: Callable[[], Rows]
    is_detection: bool = False


def recognize(file: Path, images: Sequence[str]) -> LabelFile | None:
    """Returns the label file at a path, or None if it has no rows with an image and a label.

    Args:
        file: path that ends in one of LABEL_FILE_SUFFIXES.
        images: paths of the images that it may name, for a format that names their folders only.

    Raises:
        UserError: the file cannot be read at all.
    """
    suffix = suffix_of(file.name)
    if suffix == ".jsonl":
        lines = list(numbered_lines(file))
        # The suffix is rare for other content, so a first row without a label is a mistake.
        is_labels = not lines or _may_be_rows(_jsonl_rows(lines), needs_label=False)
        return LabelFile(file, "jsonl", lambda: _jsonl_rows(lines)) if is_labels else None
    if suffix == ".csv":
        return LabelFile(file, "csv", lambda: csv_rows(file)) if _may_be_rows(csv_rows(file)) else None
    try:
        content = json.loads(read_text(file))
    except (json.JSONDecodeError, RecursionError):
        raise UserError(f"{file}: not JSON; repair or remove it") from None
    except ValueError as error:  # the error of read_text, or a number of too many digits
        raise error if isinstance(error, UserError) else UserError(f"{file}: not JSON; repair or remove it") from None
    if isinstance(content, list):
        is_labels = _may_be_rows(_json_rows(file, content))
        return LabelFile(file, "json", lambda: _json_rows(file, content)) if is_labels else None
    if isinstance(content, dict):
        return _from_object(file, content, images)
    return None


def _from_object(file: Path, content: dict[str, object], images: Sequence[str]) -> LabelFile | None:
    if isinstance(content.get("images"), list) and isinstance(content.get("annotations"), list):
        return LabelFile(file, "json", lambda: iter(()), is_detection=True)
    if content and all(isinstance(label, int) for label in content.values()):
        by_tracklet: dict[str, list[str]] = defaultdict(list)
        start = f"{file.parent}/images/"
        for path in images:
            if path.startswith(start):
                by_tracklet[path[len(start) :].partition("/")[0]].append(path)
        if not by_tracklet.keys().isdisjoint(content):
            return LabelFile(file, "soccernet", lambda: _soccernet_rows(file, content, by_tracklet))
    return None


def _may_be_rows(rows: Rows, *, needs_label: bool = True) -> bool:
    """Returns whether the first row has an image (and a label), or is too faulty to tell."""
    for _, row in islice(rows, 1):
        if isinstance(row, UserError):
            return True
        try:
            columns = find_columns(row)
        except UserError:
            return True
        return columns.image is not None and (columns.label is not None or not needs_label)
    return False


def _jsonl_rows(lines: Sequence[tuple[str, str]]) -> Rows:
    for where, line in lines:
        try:
            yield where, json_object(line, where=where)
        except UserError as problem:
            yield where, problem


def _json_rows(file: Path, content: Sequence[object]) -> Rows:
    for index, row in enumerate(content):
        where = f"{file}[{index}]"
        if isinstance(row, dict):
            yield where, row
        else:
            yield where, UserError(f"{where}: not a JSON object; fix or remove it")


def _soccernet_rows(file: Path, content: dict[str, object], by_tracklet: dict[str, list[str]]) -> Rows:
    for tracklet, label in content.items():
        where = f'{file}["{tracklet}"]'
        if tracklet not in by_tracklet:
            what = f"there is no image in {posixpath.join(str(file.parent), 'images', tracklet)}"
            yield where, UserError(f"{where}: {what}; add some, or remove the entry")
        for path in by_tracklet.get(tracklet, ()):
            image = posixpath.relpath(path, file.parent)
            yield where, {"image": image, "label": str(label), "tracklet": tracklet}
