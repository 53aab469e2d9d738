"""Answers as text: numbers stay text, names cannot harm, errors stand in their rows."""

import csv
import io
import json

import pytest

from jersey.core.errors import UserError
from jersey.inference.decision import Prediction
from jersey.inference.rows import AnswerRow, answer, failure, format_of

READ = Prediction("00", 0.98765432, (("00", 0.98765432), ("0", 0.01)))
SILENT = Prediction(None, 0.3, (("7", 0.3),))
UNSEEN = Prediction("77", 0.9, (("77", 0.9),), unseen=True)


def lines(name: str, *rows: AnswerRow, is_open_vocabulary: bool = False, tracklets: bool = False) -> list[str]:
    header, line_of = format_of(name, is_open_vocabulary=is_open_vocabulary, tracklets=tracklets, top_k=2)
    return [*([header] if header else []), *map(line_of, rows)]


def row_of(reading: Prediction, *, is_open_vocabulary: bool = False) -> AnswerRow:
    return answer(reading, is_open_vocabulary=is_open_vocabulary, image="a,b.png")


def test_json_lines() -> None:
    (line,) = lines("jsonl", row_of(READ))
    assert json.loads(line) == {
        "image": "a,b.png",
        "number": "00",
        "confidence": 0.987654,
        "top_k": [["00", 0.987654], ["0", 0.01]],
    }
    (line,) = lines("jsonl", row_of(SILENT))
    assert json.loads(line)["number"] is None


def test_csv_keeps_numbers_and_commas() -> None:
    header, line = csv.reader(lines("csv", row_of(READ)))
    row = dict(zip(header, line, strict=True))
    assert row == {
        "image": "a,b.png",
        "number": "00",
        "confidence": "0.987654",
        "top_k": "00:0.987654 0:0.01",
        "error": "",
    }
    (row,) = csv.DictReader(io.StringIO("\n".join(lines("csv", row_of(SILENT)))))
    assert (row["number"], row["confidence"]) == ("", "0.3")


def test_a_table_has_its_cells_below_their_names() -> None:
    header, line, silent = lines("table", row_of(READ), row_of(SILENT))
    for name, cell in (("number", "00"), ("confidence", "0.988"), ("likeliest", "00 0.988, 0 0.010"), ("image", "a,b")):
        assert line[header.index(name) :].startswith(cell)
    assert silent.startswith("- ")
    header, line = lines("table", answer(READ, is_open_vocabulary=False, tracklet="p7", frames=12), tracklets=True)
    for name, cell in (("frames", "12 "), ("tracklet", "p7")):
        assert line[header.index(name) :].startswith(cell)


def test_unseen_numbers_are_marked_in_every_format() -> None:
    (line,) = lines("jsonl", row_of(UNSEEN, is_open_vocabulary=True))
    assert json.loads(line)["unseen"] is True
    (line,) = lines("jsonl", row_of(READ, is_open_vocabulary=True))
    assert json.loads(line)["unseen"] is False
    (row,) = csv.DictReader(lines("csv", row_of(UNSEEN, is_open_vocabulary=True), is_open_vocabulary=True))
    assert (row["number"], row["unseen"]) == ("77", "true")
    assert "77 unseen" in lines("table", row_of(UNSEEN, is_open_vocabulary=True), is_open_vocabulary=True)[1]


@pytest.mark.parametrize("name", ["jsonl", "csv", "table"])
def test_an_error_has_a_row_of_its_own_and_names_cannot_harm(name: str) -> None:
    evil = "a\nb\x1b[2J\ud800.png"
    rows = failure(UserError(f"{evil} is empty"), image=evil), answer(READ, is_open_vocabulary=False, image=evil)
    *_, error, read = lines(name, *rows)
    for line in (error, read):
        assert line.isprintable()
        line.encode()
    assert "is empty" in error
    assert "00" in read
