"""The label map: order, identity, and its file."""

import hashlib
import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jersey.core.errors import UserError
from jersey.core.labels import Labels

NAMES = st.lists(st.text(min_size=1, max_size=4).filter(str.isprintable), unique=True, max_size=8)


def test_labels_are_sorted_in_any_input_order() -> None:
    labels = ["10", "2", "0", "00", "1", "01", "2", "100"]
    for order in itertools.islice(itertools.permutations(labels), 0, None, 500):
        assert Labels.from_names(order).names == ("0", "1", "2", "00", "01", "10", "100")


@pytest.mark.parametrize("names", [(0, "1"), ("", "1"), (None, "1"), ("1", True)])
def test_labels_are_non_empty_strings(names: tuple) -> None:
    with pytest.raises(UserError, match="non-empty string"):
        Labels(names)


def test_duplicate_labels_are_listed() -> None:
    with pytest.raises(UserError, match=r"appear twice in the label map: 00, 7;"):
        Labels(("00", "7", "8", "7", "00"))


def test_the_hash_is_that_of_the_ordered_list() -> None:
    assert Labels(("0", "00", "é")).sha256 == hashlib.sha256('["0","00","é"]'.encode()).hexdigest()
    hashes = {Labels(names).sha256 for names in [("0", "00"), ("00", "0"), ("0", "0,0"), ('0","00',), ("0",), ()]}
    assert len(hashes) == 6


@given(NAMES)
def test_json_round_trip(names: list[str]) -> None:
    labels = Labels(tuple(names))
    assert Labels.from_json(labels.to_json(), where="test") == labels


def test_file_round_trip_and_content(tmp_path: Path) -> None:
    labels = Labels(("0", "00", "01", "🏀"))
    labels.save(tmp_path / "labels_mapping.json")
    assert Labels.load(tmp_path / "labels_mapping.json") == labels
    content = json.loads((tmp_path / "labels_mapping.json").read_bytes())
    assert content == {
        "labels": ["0", "00", "01", "🏀"],
        "class_to_idx": {"0": 0, "00": 1, "01": 2, "🏀": 3},
        "sha256": labels.sha256,
    }


def edited(**changes: object) -> str:
    return json.dumps(json.loads(Labels(("0", "00")).to_json()) | changes)


@pytest.mark.parametrize(
    "text",
    [
        edited(labels=["00", "0"]),
        edited(class_to_idx={"0": 1, "00": 0}),
        edited(sha256="0" * 64),
        edited(labels=[0, 1]),
        edited(labels=["0", "0"]),
        edited(labels=["\ud800", "0"]),
        edited(labels="000"),
        edited(labels=None),
        '{"labels": ["0", "00"]}',
        '["0", "00"]',
        "null",
        "{",
        "",
    ],
)
def test_an_edited_or_foreign_file_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels_mapping.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        Labels.load(path)
    assert str(path) in str(caught.value)


def test_the_error_of_an_unreadable_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        Labels.load(tmp_path / "nowhere.json")
    (tmp_path / "latin.json").write_bytes(b'{"labels": ["\xe9"]}')
    with pytest.raises(UserError, match="latin"):
        Labels.load(tmp_path / "latin.json")


def test_require_same_lists_the_differences() -> None:
    labels = Labels(("0", "00", "7"))
    labels.require_same(Labels(("0", "00", "7")), here="the model", there="the data")
    with pytest.raises(UserError, match="the data has different labels than the model: without 00 and with 8, 9;"):
        labels.require_same(Labels(("0", "7", "8", "9")), here="the model", there="the data")
    with pytest.raises(UserError, match="the same labels in a different order"):
        labels.require_same(Labels(("7", "00", "0")), here="the model", there="the data")
