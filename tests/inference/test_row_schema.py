"""The JSON schema in docs/ accepts every kind of row that the command prints, and no others."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.json_schema import is_valid
from helpers.planted_model import file_of, planted_model
from helpers.repository import REPOSITORY

from jersey.inference.__main__ import main

SCHEMA = json.loads((REPOSITORY / "docs" / "prediction_row.schema.json").read_text(encoding="utf-8"))
Row = dict[str, Any]


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[Row]:
    """Rows of crops and tracklets: predictions, abstentions, unseen numbers, and all kinds of errors."""
    monkeypatch.chdir(tmp_path)
    planted_model(tmp_path / "model.onnx")
    file_of(tmp_path / "crops" / "confident.png", "00")
    file_of(tmp_path / "crops" / "uncertain.png", "10", certainty=1)
    file_of(tmp_path / "crops" / "unseen.png", "77")
    for folder in ("crops", "bad"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "bad.png").write_bytes(b"no image")
    (tmp_path / "list.jsonl").write_text('{"image": "crops/confident.png"}\nnonsense\n', encoding="utf-8")
    found = []
    for flags in (["--min_confidence=0.9"], ["--open_vocabulary"], ["--tracklets", "--open_vocabulary"]):
        monkeypatch.setattr(sys, "argv", ["jersey-read", "model.onnx", "crops", "bad", "list.jsonl", *flags])
        assert main() == 1
        found += [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return found


def test_every_row_is_valid(rows: list[Row]) -> None:
    assert [row for row in rows if not is_valid(row, SCHEMA)] == []
    kinds = {
        "prediction": lambda row: row.get("number") == "00",
        "abstention": lambda row: row.get("number", "") is None,
        "unseen": lambda row: row.get("unseen"),
        "tracklet": lambda row: row.get("frames", 0) > 1,
        "tracklet of which no crop could be read": lambda row: row.get("frames") == 0,
        "error in a tracklet": lambda row: "error" in row and "image" in row and "tracklet" in row,
        "faulty line": lambda row: row.get("image") == "list.jsonl:2",
    }
    assert [name for name, is_kind in kinds.items() if not any(map(is_kind, rows))] == []


def test_every_property_is_seen_in_a_row(rows: list[Row]) -> None:
    for kind in SCHEMA["oneOf"]:
        of_kind = [row for row in rows if is_valid(row, kind, SCHEMA)]
        assert set(kind["properties"]) == set().union(*of_kind), kind["title"]


@pytest.mark.parametrize(
    "spoil",
    [
        *(lambda row, key=key: row.pop(key) for key in ("image", "number", "confidence", "top_k", "model_sha256")),
        lambda row: row.update(number=0),
        lambda row: row.update(confidence=1.01),
        lambda row: row.update(confidence=True),
        lambda row: row.update(model_sha256="0" * 63),
        lambda row: row.update(top_k=[["00", 0.9, 1]]),
        lambda row: row.update(top_k=[[0, 0.9]]),
        lambda row: row.update(top_k=[]),
        lambda row: row.update(frames=3),
        lambda row: row.update(error="is empty"),
        lambda row: row.update(another=1),
    ],
)
def test_another_row_is_not_valid(spoil: Callable[[Row], object], rows: list[Row]) -> None:
    row = next(row for row in rows if row.get("number") == "00")
    assert is_valid(row, SCHEMA)
    spoil(row)
    assert not is_valid(row, SCHEMA)


def test_a_keyword_that_is_not_supported_fails() -> None:
    with pytest.raises(KeyError, match="const"):
        is_valid(1, {"const": 1})
