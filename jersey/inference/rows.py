"""Answers as rows of text, in three formats. A row is a dict whose keys are columns; it has an error or an answer.

Names come from whoever made the files: what could rewrite a terminal or break a line is escaped. Numbers are text in
every format, "00" too.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from jersey.core.errors import UserError, escape_control
from jersey.core.tables import csv_line
from jersey.inference.decision import Reading

DIGITS = 6
WIDTH = 11  # of a column of the table: "confidence" and a space
Row = dict[str, Any]


def answer(reading: Reading, *, is_open: bool, **names: str | int) -> Row:
    """The row of a reading; `names` say of what."""
    return {
        **_shown(names),
        "number": reading.number,
        "confidence": round(reading.confidence, DIGITS),
        **({"unseen": reading.unseen} if is_open else {}),
        "top_k": [[number, round(share, DIGITS)] for number, share in reading.top_k],
    }


def failure(error: UserError, **names: str | int) -> Row:
    """The row of what could not be read."""
    return {**_shown(names), "error": str(error)}


def _shown(names: dict[str, str | int]) -> Row:
    return {key: escape_control(value) if isinstance(value, str) else value for key, value in names.items()}


def as_json(row: Row) -> str:
    """One line of JSON Lines."""
    return json.dumps(row, ensure_ascii=False)


class Csv:
    """Lines of CSV: `top_k` is "23:0.98 28:0.01", what a row lacks is empty.

    Args:
        columns: in their order.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns

    @property
    def header(self) -> str:
        """The first line."""
        return csv_line(self._columns)

    def __call__(self, row: Row) -> str:
        cells = row | {"top_k": " ".join(f"{number}:{share}" for number, share in row.get("top_k", []))}
        if "unseen" in row:
            cells["unseen"] = str(row["unseen"]).lower()
        return csv_line([cells.get(column) for column in self._columns])


class Table:
    """Lines for a terminal: number, confidence, what else was likely, and then, at any length, of what.

    Args:
        columns: which there are.
        top_k: how many numbers a row names.
    """

    def __init__(self, columns: Sequence[str], top_k: int) -> None:
        self._names = [column for column in ("frames", "track", "image") if column in columns]
        self._likeliest = max(WIDTH, len("00 0.999, ") * top_k)

    @property
    def header(self) -> str:
        """The first line."""
        return self._line("number", "confidence", "likeliest", self._names)

    def __call__(self, row: Row) -> str:
        if "error" in row:
            return f"{'error':<{WIDTH}} {row['error']}"
        names = [f"{row[name]:<{len(name)}}" for name in self._names if name in row]
        number = row["number"] or "-"
        likeliest = ", ".join(f"{name} {share:.3f}" for name, share in row["top_k"])
        marked = f"{number} unseen" if row.get("unseen") else number
        return self._line(marked, f"{row['confidence']:.3f}", likeliest, names)

    def _line(self, number: str, confidence: str, likeliest: str, names: Sequence[str]) -> str:
        return f"{number:<{WIDTH}} {confidence:<{WIDTH}} {likeliest:<{self._likeliest}} {'  '.join(names)}".rstrip()


def format_of(name: str, columns: Sequence[str], *, top_k: int) -> tuple[str | None, Callable[[Row], str]]:
    """The header of a format, if it has one, and what makes a line of a row."""
    if name == "jsonl":
        return None, as_json
    lines = Csv(columns) if name == "csv" else Table(columns, top_k)
    return lines.header, lines


def columns_of(*, is_open: bool, tracklets: bool) -> list[str]:
    """The columns of CSV and table."""
    what = ["track", "image", "frames"] if tracklets else ["image"]
    return [*what, "number", "confidence", *(["unseen"] if is_open else []), "top_k", "error"]
