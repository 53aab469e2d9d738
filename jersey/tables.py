"""Small tables as CSV files: UTF-8, a header row, written whole."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jersey.atomic import write_text


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a table; strings stay as they are, so a label "00" is `00` in the file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())
