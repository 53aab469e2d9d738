"""Answers as rows of text, in three formats. A row is a dict whose keys are columns; it has an error or an answer.

Names come from whoever made the files: what could rewrite a terminal or break a line is escaped. Numbers are text in
every format, "00" too.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from jersey.core.errors import UserError, escape_control
from jersey.core.tables import csv_line
from jersey.inference.decision import Prediction

DIGITS = 6
WIDTH = 11  # of a column of the table: "confidence" and a space
AnswerRow = dict[str, Any]


def answer(reading: Prediction, *, is_open_vocabulary: bool, **names: str | int) -> AnswerRow:
    """The row of a reading; `names` say of what."""
    return {
        **_shown(names),
        "number": reading.number,
        "confidence": round(reading.confidence, DIGITS),
        **({"unseen": reading.unseen} if is_open_vocabulary else {}),
        "top_k": [[number, round(share, DIGITS)] for number, share in reading.top_k],
    }


def failure(error: UserError, **names: str | int) -> AnswerRow:
    """The row of what could not be read."""
    return {**_shown(names), "error": str(error)}


def _shown(names: dict[str, str | int]) -> AnswerRow:
    return {key: escape_control(value) if isinstance(value, str) else value for key, value in names.items()}


def format_of(
    name: str, *, is_open_vocabulary: bool, tracklets: bool, top_k: int
) -> tuple[str | None, Callable[[AnswerRow], str]]:
    """The header of "jsonl", "csv" or "table", if it has one, and what makes a line of a row."""
    what = ["tracklet", "image", "frames"] if tracklets else ["image"]
    if name == "csv":
        columns = [*what, "number", "confidence", *(["unseen"] if is_open_vocabulary else []), "top_k", "error"]
        return csv_line(columns), partial(as_csv, columns=columns)
    if name == "table":
        names = [column for column in ("frames", "tracklet", "image") if column in what]
        width = max(WIDTH, len("00 0.999, ") * top_k)
        header = _table_line("number", "confidence", "likeliest", names, width=width)
        return header, partial(as_table_line, columns=names, width=width)
    return None, partial(json.dumps, ensure_ascii=False)


def as_csv(row: AnswerRow, columns: Sequence[str]) -> str:
    """A line of CSV: `top_k` is "23:0.98 28:0.01", what a row lacks is empty."""
    cells = row | {"top_k": " ".join(f"{number}:{share}" for number, share in row.get("top_k", []))}
    if "unseen" in row:
        cells["unseen"] = str(row["unseen"]).lower()
    return csv_line([cells.get(column) for column in columns])


def as_table_line(row: AnswerRow, columns: Sequence[str], *, width: int) -> str:
    """A line for a terminal: number, confidence, what else was likely, and then, at any length, of what."""
    if "error" in row:
        return f"{'error':<{WIDTH}} {row['error']}"
    names = [f"{row[name]:<{len(name)}}" for name in columns if name in row]
    number = row["number"] or "-"
    likeliest = ", ".join(f"{name} {share:.3f}" for name, share in row["top_k"])
    marked = f"{number} unseen" if row.get("unseen") else number
    return _table_line(marked, f"{row['confidence']:.3f}", likeliest, names, width=width)


def _table_line(number: str, confidence: str, likeliest: str, names: Sequence[str], *, width: int) -> str:
    return f"{number:<{WIDTH}} {confidence:<{WIDTH}} {likeliest:<{width}} {'  '.join(names)}".rstrip()
