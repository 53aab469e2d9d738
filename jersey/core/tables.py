"""Writes small tables as CSV files (UTF-8, with a header row, atomically), aligned text, and Markdown."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from jersey.core.atomic import write_text


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file; strings are not converted, so a label "00" is `00` in the file."""
    write_text(path, "".join(f"{csv_line(row)}\n" for row in (header, *rows)))


def percent(fraction: float) -> str:
    """Formats a fraction in percent, as `97.3 %`; it is `100.0 %` only for the whole, and `0.0 %` only for nothing."""
    tenths = round(1000 * fraction) if math.isfinite(fraction) else 0
    if 0 < fraction < 1:
        tenths = min(max(tenths, 1), 999)
    return f"{tenths / 10:.1f} %" if math.isfinite(fraction) else "-"


def csv_line(cells: Sequence[Any]) -> str:
    """Returns a row as CSV without a line break."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def format_table(rows: Sequence[Sequence[str]], *, is_numeric: bool = False) -> list[str]:
    """Returns one line per row, with aligned columns.

    Args:
        rows: cells of each row, equally many.
        is_numeric: whether all columns but the first are aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if is_numeric:
            cells[1:] = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the lines of a GitHub Markdown table; the first row is the header. `|` is escaped, even in code."""
    lines = []
    for row in rows:
        escaped = [cell.replace("|", r"\|") for cell in row]
        lines.append(f"| {' | '.join(escaped)} |")
    return [lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]]


def mean_and_spread(fractions: Sequence[float]) -> str:
    """Returns mean and sample standard deviation in percent, as `93.3 ± 0.4`; one fraction has no deviation."""
    spread = f" ± {100 * stdev(fractions):.1f}" if len(fractions) > 1 else ""
    return f"{100 * mean(fractions):.1f}{spread}"


def count_name(count: float) -> str:
    """Returns the name of a number of crops: "all" for infinity."""
    return "all" if count == math.inf else str(round(count))
