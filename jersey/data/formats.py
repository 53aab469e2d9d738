"""Reads label files: rows of an image, its label and perhaps its tracklet and split, in the formats that tools write.

    JSONL        {"image": "crop.jpg", "suffix": "23", "tracklet": "7"}, one object per line
    JSON         the same objects in one array
    CSV          the same columns under a header, or (Roboflow) an image column and a column of 0 and 1 for each label
    SoccerNet    {"<tracklet>": 23} beside `images/<tracklet>/*.jpg`

Columns are found by the names in COLUMNS. The predictor reads the same rows, but needs no label. No image is opened
here; decoding reports those that do not exist.
"""

import csv
import io
import json
import math
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from jersey.core.errors import UserError, shorten
from jersey.core.labels import ILLEGIBLE, parse_label
from jersey.core.tables import csv_text
from jersey.data.files import validate_name

COLUMNS = {
    "image": ("image", "file", "filename", "file_name", "path", "image_path", "filepath"),
    "label": ("label", "suffix", "number", "class", "jersey", "jersey_number"),
    "tracklet": ("tracklet", "track", "tracklet_id", "track_id"),
    "split": ("split",),
}
"""The names of a column, in lower case, by its meaning."""

Fields = Mapping[str, object]


class Annotation(NamedTuple):
    """A row of a label file.

    Attributes:
        image: path as written, relative to the label file.
        label: label, or ILLEGIBLE.
        tracklet: name of the tracklet, or "".
        written: label as it was written, which may differ, such as "7.0", "-1" or "7 without quotes".
        split: name of the split as written, or "".
    """

    image: str
    label: str
    tracklet: str
    written: str = ""
    split: str = ""


class ColumnNames(NamedTuple):
    """The keys of a row for each meaning in COLUMNS, or None."""

    image: str | None
    label: str | None
    tracklet: str | None
    split: str | None


def find_columns(keys: Iterable[str]) -> ColumnNames:
    """Finds the columns of a row by their names; raises UserError if two columns have one meaning."""
    return _find_columns(tuple(keys))


@cache
def _find_columns(keys: tuple[str, ...]) -> ColumnNames:
    found: list[str | None] = []
    for meaning, names in COLUMNS.items():
        matching = [key for key in keys if key.strip().lower() in names]
        if len(matching) > 1:
            both = " and ".join(repr(shorten(key)) for key in matching)
            raise UserError(f"the columns {both} can both be the {meaning}; rename or remove all but one")
        found.append(matching[0] if matching else None)
    return ColumnNames(*found)


def parse_row(line: str, *, where: str, needs_label: bool) -> Annotation:
    """Parses a line that holds one JSON object.

    Args:
        line: line of a JSONL file.
        where: place of the line, for errors.
        needs_label: whether the row must have a label, which is ignored otherwise.

    Raises:
        UserError: the line is not such a row.
    """
    return annotation_of(json_object(line, where=where), where=where, needs_label=needs_label)


def json_object(line: str, *, where: str) -> Fields:
    """Parses one JSON object; raises UserError if the text is none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise UserError(f"{where}: not a JSON object on one line; fix or remove the line") from None
    if not isinstance(row, dict):
        raise UserError(f"{where}: not a row like {_example(needs_label=True)}; fix or remove the line")
    return row


def annotation_of(row: Fields, *, where: str, needs_label: bool) -> Annotation:
    """Returns the annotation in a row.

    Args:
        row: cells by the name of their column.
        where: place of the row, for errors.
        needs_label: whether the row must have a label, which is ignored otherwise.

    Raises:
        UserError: a cell is missing or cannot be used.
    """
    try:
        columns = find_columns(row)
    except UserError as problem:
        raise UserError(f"{where}: {problem}") from None
    if columns.image is None or (needs_label and columns.label is None):
        raise UserError(f"{where}: not a row like {_example(needs_label=needs_label)}; fix or remove the line")
    image = row[columns.image]
    if not isinstance(image, str) or not image or "\0" in image:
        raise UserError(
            f"{where}: the image {shorten(reprlib.repr(image))} is not the path of a file; fix or remove the line"
        )
    cell = row[columns.label] if needs_label and columns.label is not None else ILLEGIBLE
    label = parse_label(_label_text(cell, where=where))
    written = cell if isinstance(cell, str) else f"{json.dumps(cell)} without quotes"
    tracklet = "" if columns.tracklet is None else _name_text(row[columns.tracklet], "tracklet", where=where)
    split = "" if columns.split is None else _name_text(row[columns.split], "split", where=where)
    validate_name(label, where=where)
    validate_name(tracklet, what="tracklet", where=where)
    return Annotation(image, label, tracklet, written, split)


def _label_text(cell: object, *, where: str) -> str:
    """Returns a label as text: a whole number without decimals, and null and nan as the empty text."""
    if isinstance(cell, str):
        return cell
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ILLEGIBLE
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return str(cell)
    what = f"the label {shorten(reprlib.repr(cell))} is neither text nor a number"
    raise UserError(f'{where}: {what}; write it as in "23", and as "" for an illegible crop')


def _name_text(cell: object, what: str, *, where: str) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool | float) or not isinstance(cell, str | int):
        raise UserError(
            f"{where}: the {what} {shorten(reprlib.repr(cell))} is not a string; put it in quotes, or leave it out"
        )
    return str(cell)


def _example(*, needs_label: bool) -> str:
    return '{"image": "crop.jpg", "suffix": "23"}' if needs_label else '{"image": "crop.jpg"}'


def read_text(file: Path) -> str:
    """Returns the text of a UTF-8 file without the byte order mark that Windows writes.

    Raises:
        UserError: the file cannot be read or is not UTF-8 text.
    """
    try:
        content = file.read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}; repair or remove it") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{file}:{line}: not UTF-8 text; save the file as UTF-8") from None


def numbered_lines(file: Path) -> Iterator[tuple[str, str]]:
    """Yields ("file:line", text) for each line that is not blank; raises UserError as `read_text` does, at once."""
    lines = read_text(file).split("\n")
    return ((f"{file}:{number}", line) for number, line in enumerate(lines, start=1) if line.strip())


def csv_rows(file: Path) -> Iterator[tuple[str, Fields | UserError]]:
    """Yields ("file:line", cells by column) for each row of a CSV file with a header, or the error of the row.

    Comma, semicolon or tab separate cells, whichever is most frequent in the header. Columns of 0 and 1 for each
    label, beside an image column, are replaced by one column `label`.

    Raises:
        UserError: the file cannot be read.
    """
    text = read_text(file)
    delimiter = max(",;\t", key=text.lstrip().partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    header: list[str] = []
    try:
        for row in reader:
            cells, where = [csv_text(cell) for cell in row], f"{file}:{reader.line_num}"
            if not any(cells):
                continue
            if not header:
                header = [name.strip() for name in cells]
            elif len(cells) != len(header):
                what = f"{len(cells)} cells, and the header has {len(header)}"
                yield where, UserError(f"{where}: the row has {what}; fix or remove it")
            else:
                yield where, _with_one_label(dict(zip(header, cells, strict=True)), where=where)
    except csv.Error as error:
        where = f"{file}:{reader.line_num}"
        yield where, UserError(f"{where}: not CSV ({error}); repair the line")


def _with_one_label(row: dict[str, str], *, where: str) -> Fields | UserError:
    """Returns the row, or image and label of a row with a column of 0 and 1 for each label; no 1 means illegible."""
    try:
        columns = find_columns(row)
    except UserError as problem:
        return UserError(f"{where}: {problem}")
    if columns.image is None or columns.label is not None:
        return row
    marks = {name: cell.strip() for name, cell in row.items() if name not in columns}
    if len(marks) < 2 or not set(marks.values()) <= {"0", "1"}:
        return row
    labels = [name for name, mark in marks.items() if mark == "1"]
    if len(labels) > 1:
        return UserError(f"{where}: the image has the labels {' and '.join(labels)}; keep the correct one")
    return {"image": row[columns.image], "label": labels[0] if labels else ILLEGIBLE}
