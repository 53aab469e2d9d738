"""Writes small tables as CSV files (UTF-8, with a header row, atomically), aligned text, and Markdown.

A spreadsheet evaluates a cell that starts with one of a few characters, and labels and file names come from strangers.
In CSV such text has an apostrophe in front, with which spreadsheets mark text, and numbers have none. `read_csv` and
`csv_text` remove it again. https://owasp.org/www-community/attacks/CSV_Injection
"""

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from jersey.core.atomic import write_text

_SIGNS = "[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"  # the last four are the first four in full width
# Text with apostrophes before the sign gets another one, so that `csv_text` restores every text.
_EVALUATED = re.compile(rf"'*{_SIGNS}")
_MARKED = re.compile(rf"'+{_SIGNS}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|nan)")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file; labels are not converted, so "00" is `00` in the file."""
    write_text(path, "".join(f"{csv_line(row)}\n" for row in (header, *rows)))


def read_csv(lines: Iterable[str], *, strict: bool = False) -> Iterator[dict[Any, Any]]:
    """Yields the rows of a CSV file of jersey as `csv.DictReader` does, with the text that was written.

    Args:
        lines: open file, or its lines.
        strict: whether a faulty quote raises csv.Error.
    """
    for row in csv.DictReader(lines, strict=strict):
        yield {csv_text(name): csv_text(cell) for name, cell in row.items()}


def csv_text(cell: Any) -> Any:
    """Returns the text that `csv_line` has written as this cell; what is not text stays as it is."""
    return cell[1:] if isinstance(cell, str) and _MARKED.match(cell) else cell


def percent(fraction: float) -> str:
    """Formats a fraction in percent, as `97.3 %`; it is `100.0 %` only for the whole, and `0.0 %` only for nothing."""
    tenths = round(1000 * fraction) if math.isfinite(fraction) else 0
    if 0 < fraction < 1:
        tenths = min(max(tenths, 1), 999)
    return f"{tenths / 10:.1f} %" if math.isfinite(fraction) else "-"


def csv_line(cells: Sequence[Any]) -> str:
    """Returns a row as CSV without a line break; text that a spreadsheet would evaluate gets an apostrophe."""
    text = io.StringIO()
    # The writer quotes line breaks within a cell only if its own consist of the same characters.
    csv.writer(text, lineterminator="\r\n").writerow(map(_inert, cells))
    return text.getvalue().removesuffix("\r\n")


def _inert(cell: Any) -> Any:
    is_formula = isinstance(cell, str) and _EVALUATED.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell


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
