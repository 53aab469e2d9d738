"""Texts are parsed as values of the expected type."""

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jersey.config import values

LABELS = tuple[str, ...]


@pytest.mark.parametrize(
    ("text", "expected", "value"),
    [
        ("1e-4", float, 1e-4),
        (" 3 ", int, 3),
        ("-2", int, -2),
        ("None", float | None, None),
        ("00", str, "00"),
        ("7", str, "7"),
        ("'00'", str, "00"),
        ("/my/crops", str, "/my/crops"),
        ("/my crops/a,b=c", str, "/my crops/a,b=c"),
        ("''", str, ""),
        ("'None'", str, "None"),
        ("cache", Path | None, "cache"),
        ("true", bool, True),
        ("False", bool, False),
        ("letterbox", Literal["stretch", "letterbox"], "letterbox"),
        ("'letterbox'", Literal["stretch", "letterbox"], "letterbox"),
        ("2", Literal[1, 2], 2),
        ("['0', '00']", LABELS, ("0", "00")),
        ("0,00,23", LABELS, ("0", "00", "23")),
        ("(0, 00, 23)", LABELS, ("0", "00", "23")),
        ("'', '0,1', 00", LABELS, ("", "0,1", "00")),
        ("0,", LABELS, ("0",)),
        ("()", LABELS, ()),
        ("(0, 1)", tuple[float, float], (0.0, 1.0)),
        ("(1, 0.5)", tuple[float, ...], (1.0, 0.5)),
        ("1", int | float, 1),
        ("1", float | None, 1.0),
        ("0,1", list[int], [0, 1]),
        ("[1]", tuple[int, ...] | list[int], [1]),
        ("(1,)", list[int] | tuple[int, ...], (1,)),
        ("00", int | str, "00"),
        ("{'00': 1}", dict[str, float], {"00": 1.0}),
        ("(1, 'a')", Any, (1, "a")),
    ],
)
def test_text_is_parsed_as_the_expected_type(text: str, expected: Any, value: Any) -> None:
    found = values.parse(text, expected)
    assert repr(found) == repr(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", float),
        ("", str),
        ("None", str),
        ("00", float),
        ("1e3", int),
        ("True", int),
        ("1", bool),
        ("yes", bool),
        ("inf", float),
        ("1e999", float),
        ("1" + "0" * 400, float),
        ("0x" + "f" * 40, int),
        ("stretched", Literal["stretch", "letterbox"]),
        ("True", Literal[1, 2]),
        ("23", LABELS),
        ("0,,23", LABELS),
        ("(0,1", LABELS),
        ("(1,2,3)", tuple[float, float]),
        ("'open", str),
        ("(x)", str),
        ("a\nb", str),
        ("__import__('os')", Any),
        ("1+1", Any),
        ("3", torch.Tensor),
        ("(" * 5000, int),
        ("\0", int),
    ],
)
def test_text_that_the_type_does_not_allow_raises_an_error(text: str, expected: Any) -> None:
    with pytest.raises(values.TypeMismatch):
        values.parse(text, expected)


@pytest.mark.parametrize(
    ("annotation", "members", "key", "expected"),
    [
        (dict[str, float], {"a": 1.0}, "a", float),
        (list[int] | dict[str, str] | None, {"a": "b"}, "a", str),
        (dict[str, str] | list[int] | None, [1], 0, int),
        (tuple[int, str] | tuple[float, ...], (1, "a"), 1, str),
        (tuple[int, str] | tuple[float, ...], (1.0, 2.0, 3.0), 1, float),
        (values.UNKNOWN, [1], 0, values.UNKNOWN),
    ],
)
def test_members_have_the_type_that_their_collection_declares(
    annotation: Any, members: Any, key: Any, expected: Any
) -> None:
    assert values.member_annotation(annotation, members, key) is expected


NUMBERS = st.one_of(st.integers(-(2**63) + 1, 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text()),
    lambda inner: st.one_of(
        st.lists(inner), st.lists(inner).map(tuple), st.dictionaries(st.text() | st.integers(0, 9), inner)
    ),
    max_leaves=8,
)


@given(PLAIN)
def test_parse_is_the_inverse_of_repr(value: Any) -> None:
    expected = values.expected_type(values.UNKNOWN, value)
    found = values.parse(repr(value), expected)
    assert repr(found) == repr(value)


@given(st.text(), st.sampled_from([int, float, bool, str, LABELS, list[float], Literal["a"], int | str | None, Any]))
def test_random_text_is_parsed_or_raises_an_error(text: str, expected: Any) -> None:
    try:
        value = values.parse(text, expected)
    except values.TypeMismatch:
        return
    assert values.coerce(value, expected, promote=False) == value


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (float | None, "float or None"),
        (Literal["a", "b"], "one of 'a', 'b'"),
        (tuple[str, ...], "tuple[str, ...]"),
        (float | torch.Tensor, "float or Tensor"),
    ],
)
def test_types_are_described_in_words(expected: Any, words: str) -> None:
    assert values.describe(expected) == words
