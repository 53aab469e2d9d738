"""Tables as CSV, as aligned text and as Markdown."""

import csv
import io
from pathlib import Path

import pytest

from jersey.core.tables import csv_line, format_table, markdown_table, read_csv, write_csv
from jersey.data.formats import csv_rows

FORMULAS = ("=cmd()", "+cmd()", "-cmd()", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=1+1", "-1+cmd()", "\uff1d1", "-1\n=1")
TEXTS = (*FORMULAS, "'=1", "''=1", "'", "'7", "a=1", "", "-", "00", "-1", "a,b", 'a"b', "-1.5", "+7", "-inf", "-1e9")


@pytest.mark.parametrize("text", [*FORMULAS, "-"])
def test_text_that_a_spreadsheet_would_evaluate_is_marked_as_text(text: str) -> None:
    (cells,) = csv.reader(io.StringIO(csv_line(["a", text]), newline=""))
    assert cells == ["a", f"'{text}"]


@pytest.mark.parametrize("number", [-1.5, -1, -1e-9, float("-inf"), "-1.5", "-1e-09", "-inf", "+7"])
def test_numbers_stay_numbers(number: float | str) -> None:
    assert csv_line([number, None]) == f"{number},"


def test_tables_return_every_text_that_was_written(tmp_path: Path) -> None:
    """A text that starts with an apostrophe too, and in the header too."""
    write_csv(tmp_path / "a.csv", ("image", *TEXTS), [("b.png", *TEXTS), ("-b.png", *reversed(TEXTS))])
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(read_csv(file))
    assert [tuple(row) for row in rows] == 2 * [("image", *TEXTS)]
    assert [tuple(row.values()) for row in rows] == [("b.png", *TEXTS), ("-b.png", *reversed(TEXTS))]


def test_the_reader_of_label_files_returns_it_too(tmp_path: Path) -> None:
    texts = [text for text in TEXTS if text == text.strip()]  # white space around a label is refused elsewhere
    write_csv(tmp_path / "a.csv", ("image", "label"), [(f"={index}.png", text) for index, text in enumerate(texts)])
    rows = [row for _, row in csv_rows(tmp_path / "a.csv")]
    assert rows == [{"image": f"={index}.png", "label": text} for index, text in enumerate(texts)]


def test_words_are_aligned_to_the_left_and_numbers_to_the_right_without_trailing_spaces() -> None:
    rows = [("label", "train", "all"), ("00", "1,200", ""), ("7", "6", "6")]
    assert format_table(rows) == ["label  train  all", "00     1,200", "7      6      6"]
    assert format_table(rows, is_numeric=True) == ["label  train  all", "00     1,200", "7          6    6"]


def test_a_markdown_table_has_a_rule_below_its_header() -> None:
    assert markdown_table([("", "A"), ("x|y", "1")]) == ["|  | A |", "| --- | --- |", "| x\\|y | 1 |"]
