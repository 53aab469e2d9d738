"""Predictions as text: numbers stay text, names are escaped, and errors have their rows."""

import csv
import io
import json

import pytest

from jersey.core.errors import UserError
from jersey.inference.decision import Prediction
from jersey.inference.rows import PredictionRow, error_row, prediction_row, row_format

PREDICTED = Prediction("00", 0.98765432, (("00", 0.98765432), ("0", 0.01)))
ABSTAINED = Prediction(None, 0.3, (("7", 0.3),))
UNSEEN = Prediction("77", 0.9, (("77", 0.9),), unseen=True)


def lines(name: str, *rows: PredictionRow, is_open_vocabulary: bool = False, tracklets: bool = False) -> list[str]:
    header, line_of = row_format(name, is_open_vocabulary=is_open_vocabulary, tracklets=tracklets, top_k=2)
    return [*([header] if header else []), *map(line_of, rows)]


def row_of(prediction: Prediction, *, is_open_vocabulary: bool = False) -> PredictionRow:
    return prediction_row(prediction, is_open_vocabulary=is_open_vocabulary, image="a,b.png")


def test_json_lines() -> None:
    (line,) = lines("jsonl", row_of(PREDICTED))
    assert json.loads(line) == {
        "image": "a,b.png",
        "number": "00",
        "confidence": 0.987654,
        "top_k": [["00", 0.987654], ["0", 0.01]],
    }
    (line,) = lines("jsonl", row_of(ABSTAINED))
    assert json.loads(line)["number"] is None


def test_csv_keeps_numbers_and_commas() -> None:
    header, line = csv.reader(lines("csv", row_of(PREDICTED) | {"model_sha256": "ab", "jersey_version": "1.2"}))
    row = dict(zip(header, line, strict=True))
    assert row == {
        "image": "a,b.png",
        "number": "00",
        "confidence": "0.987654",
        "top_k": "00:0.987654 0:0.01",
        "error": "",
        "model_sha256": "ab",
        "jersey_version": "1.2",
    }
    (row,) = csv.DictReader(io.StringIO("\n".join(lines("csv", row_of(ABSTAINED)))))
    assert (row["number"], row["confidence"]) == ("", "0.3")


def test_the_cells_of_a_table_are_below_their_headers() -> None:
    header, line, abstained = lines("table", row_of(PREDICTED), row_of(ABSTAINED))
    for name, cell in (("number", "00"), ("confidence", "0.988"), ("likeliest", "00 0.988, 0 0.010"), ("image", "a,b")):
        assert line[header.index(name) :].startswith(cell)
    assert abstained.startswith("- ")
    header, line = lines(
        "table", prediction_row(PREDICTED, is_open_vocabulary=False, tracklet="p7", frames=12), tracklets=True
    )
    for name, cell in (("frames", "12 "), ("tracklet", "p7")):
        assert line[header.index(name) :].startswith(cell)


def test_unseen_numbers_are_marked_in_every_format() -> None:
    (line,) = lines("jsonl", row_of(UNSEEN, is_open_vocabulary=True))
    assert json.loads(line)["unseen"] is True
    (line,) = lines("jsonl", row_of(PREDICTED, is_open_vocabulary=True))
    assert json.loads(line)["unseen"] is False
    (row,) = csv.DictReader(lines("csv", row_of(UNSEEN, is_open_vocabulary=True), is_open_vocabulary=True))
    assert (row["number"], row["unseen"]) == ("77", "true")
    assert "77 unseen" in lines("table", row_of(UNSEEN, is_open_vocabulary=True), is_open_vocabulary=True)[1]


@pytest.mark.parametrize("name", ["jsonl", "csv", "table"])
def test_an_error_has_its_own_row_and_names_are_escaped(name: str) -> None:
    hostile = "a\nb\x1b[2J\ud800.png"
    rows = (
        error_row(UserError(f"{hostile} is empty"), image=hostile),
        prediction_row(PREDICTED, is_open_vocabulary=False, image=hostile),
    )
    *_, error, predicted = lines(name, *rows)
    for line in (error, predicted):
        assert line.isprintable()
        line.encode()
    assert "is empty" in error
    assert "00" in predicted
