"""Error types: by example, counted by hand over all pairs of numbers, and for any two strings."""

from collections import Counter
from itertools import permutations
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jersey.evaluation.digit_errors import (
    Confusion,
    ErrorType,
    digit_confusions,
    error_type,
    errors_by_type,
    examples,
    total,
)

NUMBERS = [str(digit) for digit in range(10)] + [f"{number:02d}" for number in range(100)]
ARABIC_7, ARABIC_37 = "\N{ARABIC-INDIC DIGIT SEVEN}", "\N{ARABIC-INDIC DIGIT THREE}\N{ARABIC-INDIC DIGIT SEVEN}"
LABELS = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(["", "A7", "007", "illegible", "7\n", " 7", "-1", ARABIC_7, ARABIC_37, "\N{SUPERSCRIPT TWO}"]),
    st.text(alphabet="0123", max_size=3),
    st.text(),
)


@pytest.mark.parametrize(
    ("kind", "pairs"),
    [
        (ErrorType.SUBSTITUTED_TENS, [("23", "73"), ("00", "10")]),
        (ErrorType.SUBSTITUTED_ONES, [("23", "28"), ("11", "10")]),
        (ErrorType.SUBSTITUTED_ONLY, [("2", "3")]),
        (ErrorType.MISSING, [("23", "2"), ("23", "3"), ("11", "1"), ("10", "0")]),
        (ErrorType.ADDED, [("2", "23"), ("3", "23")]),
        (ErrorType.ZEROS, [("0", "00"), ("00", "0")]),
        (ErrorType.SWAPPED, [("23", "32"), ("01", "10")]),
        (ErrorType.BOTH, [("23", "71"), ("23", "31")]),
        (ErrorType.LENGTH, [("23", "7"), ("7", "23")]),
        (ErrorType.OTHER, [("A7", "7"), ("7", "007"), ("", "7"), ("3", "٣"), ("7", "7\n")]),
        (None, [("23", "23"), ("A7", "A7"), ("", "")]),
    ],
)
def test_types_by_example(kind: ErrorType | None, pairs: list[tuple[str, str]]) -> None:
    assert {error_type(label, predicted) for label, predicted in pairs} == {kind}


def test_types_of_all_pairs_of_numbers_counted_by_hand() -> None:
    """A digit d is in 19 of the 100 numbers ab, so in 190 pairs; 0 - 00 is one of them, but has its own type."""
    kinds = Counter(error_type(label, predicted) for label, predicted in permutations(NUMBERS, 2))
    assert kinds == {
        ErrorType.ZEROS: 2,
        ErrorType.MISSING: 10 * 19 - 1,
        ErrorType.ADDED: 10 * 19 - 1,
        ErrorType.SUBSTITUTED_ONLY: 10 * 9,
        ErrorType.SWAPPED: 10 * 9,
        ErrorType.SUBSTITUTED_TENS: 100 * 9,
        ErrorType.SUBSTITUTED_ONES: 100 * 9,
        ErrorType.BOTH: 100 * 9 * 9 - 10 * 9,
        ErrorType.LENGTH: 2 * (10 * 9 * 9),
    }
    assert kinds.total() == 110 * 109


@given(LABELS, LABELS)
def test_other_means_that_a_string_is_not_one_or_two_ascii_digits(label: str, predicted: str) -> None:
    are_numbers = label in NUMBERS and predicted in NUMBERS
    assert (error_type(label, predicted) == ErrorType.OTHER) == (label != predicted and not are_numbers)


@given(st.lists(LABELS, unique=True, min_size=1, max_size=6), st.randoms())
def test_every_misclassified_crop_is_counted_once(names: list[str], random: Random) -> None:
    counts_KK = np.array([[random.choice([0, 0, 1, 2, 30]) for _ in names] for _ in names])
    errors = errors_by_type(counts_KK, names)
    assert list(errors) == list(ErrorType)
    assert sum(map(total, errors.values())) == counts_KK.sum() - np.trace(counts_KK)
    for kind, confusions in errors.items():
        assert all(error_type(each.label, each.predicted) == kind and each.crops > 0 for each in confusions)


def test_confusions_are_sorted_by_frequency_then_by_the_order_of_names() -> None:
    names = ["2", "3", "23"]
    counts_KK = np.array([[9, 1, 2], [1, 9, 5], [3, 3, 9]])
    errors = errors_by_type(counts_KK, names)
    assert errors[ErrorType.SUBSTITUTED_ONLY] == [Confusion("2", "3", 1), Confusion("3", "2", 1)]
    assert errors[ErrorType.ADDED] == [Confusion("3", "23", 5), Confusion("2", "23", 2)]
    assert errors[ErrorType.MISSING] == [Confusion("23", "2", 3), Confusion("23", "3", 3)]
    assert examples(errors[ErrorType.MISSING]) == "23 predicted as 2 (3x), 23 predicted as 3 (3x)"
    assert examples([Confusion("1", predicted, 1) for predicted in "23456789"]).count("predicted as") == 3


def test_digit_confusions_are_counted_by_place_for_numbers_of_equal_length() -> None:
    names = ["7", "1", "07", "71", "A7", ARABIC_7, ARABIC_37]
    counts = {
        ("7", "7"): 5,
        ("7", "1"): 2,
        ("71", "07"): 3,
        ("07", "07"): 1,
        ("7", "07"): 50,  # different lengths
        ("71", "A7"): 50,  # not a number
        ("A7", "71"): 50,
        ("7", ARABIC_7): 50,
        (ARABIC_37, "71"): 50,
    }
    counts_KK = np.array([[counts.get((label, predicted), 0) for predicted in names] for label in names])
    places = digit_confusions(counts_KK, names)
    found = {
        place: {(row, column): counts_DD[row, column] for row, column in np.argwhere(counts_DD).tolist()}
        for place, counts_DD in places.items()
    }
    assert found == {
        "only digit": {(7, 7): 5, (7, 1): 2},
        "tens": {(7, 0): 3, (0, 0): 1},
        "ones": {(1, 7): 3, (7, 7): 1},
    }
    assert all(counts_DD.shape == (10, 10) for counts_DD in places.values())
