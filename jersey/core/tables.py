"""Small tables: as CSV files (UTF-8, a header row, written whole), and as text for a terminal."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from jersey.core.atomic import write_text


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a table; strings stay as they are, so a label "00" is `00` in the file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A line a row, its cells in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table in GitHub's Markdown, the first row its head; `|` must be escaped even in code."""
    head, *body = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return [head, f"|{' --- |' * len(rows[0])}", *body]


def mean_and_spread(shares: Sequence[float]) -> str:
    """In per cent, with the sample standard deviation: `93.3 ± 0.4`; one value has no spread."""
    spread = f" ± {100 * stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{100 * mean(shares):.1f}{spread}"
