"""Small tables, for everybody: CSV files (UTF-8, a header row, written whole), aligned text, and Markdown."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from jersey.core.atomic import write_text


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a table; strings stay as they are, so a label "00" is `00` in the file."""
    write_text(path, "".join(f"{csv_line(row)}\n" for row in (header, *rows)))


def csv_line(cells: Sequence[Any]) -> str:
    """A row as CSV, without the end of the line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def format_table(rows: Sequence[Sequence[str]], *, is_numeric: bool = False) -> list[str]:
    """A line a row, its cells in columns; all but the first column of a numeric table are aligned to the right."""
    formats = [
        f"{{:{'>' if is_numeric and index else '<'}{max(map(len, column))}}}"
        for index, column in enumerate(zip(*rows, strict=True))
    ]
    return ["  ".join(formats).format(*row).rstrip() for row in rows]


def markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table in GitHub's Markdown, the first row its head; `|` must be escaped even in code."""
    head, *body = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return [head, f"|{' --- |' * len(rows[0])}", *body]


def mean_and_spread(shares: Sequence[float]) -> str:
    """In per cent, with the sample standard deviation: `93.3 ± 0.4`; one value has no spread."""
    spread = f" ± {100 * stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{100 * mean(shares):.1f}{spread}"
