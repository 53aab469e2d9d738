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
    write_text(path, "".join(f"{csv_line(row)}\n" for row in (header, *rows)))


def csv_line(cells: Sequence[Any]) -> str:
    """A row as CSV, without the end of the line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def aligned(rows: Sequence[Sequence[str]], *, numbers: bool = False) -> list[str]:
    """A line a row, its cells in columns; with `numbers`, all columns but the first end at their right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ["<", *(">" if numbers else "<") * (len(widths) - 1)]
    return ["  ".join(map(format, row, map("{}{}".format, sides, widths))).rstrip() for row in rows]


def mean_and_spread(shares: Sequence[float]) -> str:
    """In per cent, with the sample standard deviation: `93.3 ± 0.4`; one value has no spread."""
    spread = f" ± {100 * stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{100 * mean(shares):.1f}{spread}"
