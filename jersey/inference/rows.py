"""Formats predictions as rows of text, in three formats. A row is a dict by column, with an error or a prediction.

File names are not trusted, so characters that could rewrite a terminal or break a line are escaped. Numbers are text in
every format, because "00" is not 0.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from typing import Any

from jersey.core.errors import UserError, escape_control
from jersey.core.tables import csv_line
from jersey.inference.decision import Prediction

DIGITS = 6  # decimals of a probability, about the precision of float32
WIDTH = 11  # the width of a column of the table, which holds "confidence" and a space
ORIGIN = ("model_sha256", "jersey_version")  # columns of the model and the program, except in a table for a terminal
PredictionRow = dict[str, Any]


def prediction_row(prediction: Prediction, *, is_open_vocabulary: bool, **names: str | int) -> PredictionRow:
    """Returns the row of a prediction; `names` are the columns that identify its crop or tracklet."""
    return {
        **_escaped(names),
        "number": prediction.number,
        "confidence": round(prediction.confidence, DIGITS),
        **({"unseen": prediction.unseen} if is_open_vocabulary else {}),
        "top_k": [[number, round(probability, DIGITS)] for number, probability in prediction.top_k],
    }


def error_row(error: UserError, **names: str | int) -> PredictionRow:
    """Returns the row of a crop or tracklet that could not be read."""
    return {**_escaped(names), "error": str(error)}


def jersey_version() -> str:
    """Returns the version of jersey, which a checkout on the Python path that is not installed lacks."""
    try:
        return metadata.version("jersey")
    except metadata.PackageNotFoundError:
        return "not installed"


def _escaped(names: dict[str, str | int]) -> PredictionRow:
    return {key: escape_control(value) if isinstance(value, str) else value for key, value in names.items()}


def row_format(
    name: str, *, is_open_vocabulary: bool, tracklets: bool, top_k: int
) -> tuple[str | None, Callable[[PredictionRow], str]]:
    """Returns the header of a format, which is None for jsonl, and the function that formats a row.

    Args:
        name: "jsonl", "csv" or "table".
        is_open_vocabulary: whether rows have the column `unseen`.
        tracklets: whether rows are predictions on tracklets.
        top_k: number of likeliest numbers in a row.
    """
    identity = ["tracklet", "image", "frames"] if tracklets else ["image"]
    if name == "csv":
        unseen = ["unseen"] if is_open_vocabulary else []
        columns = [*identity, "number", "confidence", *unseen, "top_k", "error", *ORIGIN]
        return csv_line(columns), partial(as_csv, columns=columns)
    if name == "table":
        names = [column for column in ("frames", "tracklet", "image") if column in identity]
        width = max(WIDTH, len("00 0.999, ") * top_k)
        header = _table_line("number", "confidence", "likeliest", names, width=width)
        return header, partial(as_table_line, columns=names, width=width)
    return None, partial(json.dumps, ensure_ascii=False)


def as_csv(row: PredictionRow, columns: Sequence[str]) -> str:
    """Formats a line of CSV: `top_k` is text such as "23:0.98 28:0.01", and missing columns are empty."""
    cells = row | {"top_k": " ".join(f"{number}:{probability}" for number, probability in row.get("top_k", []))}
    if "unseen" in row:
        cells["unseen"] = str(row["unseen"]).lower()
    return csv_line([cells.get(column) for column in columns])


def as_table_line(row: PredictionRow, columns: Sequence[str], *, width: int) -> str:
    """Formats a line for a terminal: number, confidence, the likeliest numbers, and then names of any length."""
    if "error" in row:
        return f"{'error':<{WIDTH}} {row['error']}"
    names = [f"{row[name]:<{len(name)}}" for name in columns if name in row]
    number = row["number"] or "-"
    likeliest = ", ".join(f"{name} {probability:.3f}" for name, probability in row["top_k"])
    number_cell = f"{number} unseen" if row.get("unseen") else number
    return _table_line(number_cell, f"{row['confidence']:.3f}", likeliest, names, width=width)


def _table_line(number: str, confidence: str, likeliest: str, names: Sequence[str], *, width: int) -> str:
    return f"{number:<{WIDTH}} {confidence:<{WIDTH}} {likeliest:<{width}} {'  '.join(names)}".rstrip()
