"""Errors classified by the digits of label and prediction.

A confusion matrix of 43 numbers shows that 23 was predicted as 2. The error type shows that a digit was missing, as in
41 predicted as 4, which points to cropped or folded shirts, not to similar digits. Each error has exactly one type,
the first that matches:

| type                            | label | predicted | when                                                  |
| ------------------------------- | ----- | --------- | ----------------------------------------------------- |
| other                           | A7    | 7         | one is not a jersey number: "A7", "007", ""           |
| 0 against 00                    | 00    | 0         | these two, in either direction                        |
| different length, missing digit | 23    | 2, 3      | one of two digits is predicted ("11" as "1")          |
| different length, added digit   | 2     | 23, 32    | the only digit is one of two predicted ("1" as "11")  |
| different length, other digits  | 23    | 7         | one digit for two or two for one, and none is correct |
| one digit wrong, only digit     | 2     | 3         | one digit each                                        |
| swapped digits                  | 23    | 32        | both digits in reverse order ("01" as "10")           |
| one digit wrong, tens           | 23    | 73        | two digits each, the ones digit is correct            |
| one digit wrong, ones           | 23    | 28        | two digits each, the tens digit is correct            |
| two digits wrong                | 23    | 71        | two digits each, none is correct                      |

Shapes: K classes; counts_KK[label, predicted] are numbers of crops; D = 10 digits.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from jersey.core.labels import JERSEY_NUMBER

PLACES = ("tens", "ones", "only digit")
EXAMPLES = 3  # fit on one line of a table


class ErrorType(StrEnum):
    """The types of errors, in the order of tables and figures."""

    SUBSTITUTED_TENS = "one digit wrong, tens"
    SUBSTITUTED_ONES = "one digit wrong, ones"
    SUBSTITUTED_ONLY = "one digit wrong, only digit"
    MISSING = "different length, missing digit"
    ADDED = "different length, added digit"
    ZEROS = "0 against 00"
    SWAPPED = "swapped digits"
    BOTH = "two digits wrong"
    LENGTH = "different length, other digits"
    OTHER = "other"


class Confusion(NamedTuple):
    """A label, a prediction, and the number of crops with both."""

    label: str
    predicted: str
    crops: int


def error_type(label: str, predicted: str) -> ErrorType | None:
    """Returns the type of an error; None for a correct prediction."""
    if label == predicted:
        return None
    if not _are_numbers(label, predicted):
        return ErrorType.OTHER
    if {label, predicted} == {"0", "00"}:
        return ErrorType.ZEROS
    if len(label) > len(predicted):
        return ErrorType.MISSING if predicted in label else ErrorType.LENGTH
    if len(label) < len(predicted):
        return ErrorType.ADDED if label in predicted else ErrorType.LENGTH
    if len(label) == 1:
        return ErrorType.SUBSTITUTED_ONLY
    if label == predicted[::-1]:
        return ErrorType.SWAPPED
    if label[1] == predicted[1]:
        return ErrorType.SUBSTITUTED_TENS
    return ErrorType.SUBSTITUTED_ONES if label[0] == predicted[0] else ErrorType.BOTH


def errors_by_type(counts_KK: np.ndarray, names: Sequence[str]) -> dict[ErrorType, list[Confusion]]:
    """Returns the confusions of each type, most frequent first, ties in the order of `names`; all types are keys.

    Args:
        counts_KK: confusion matrix, int64; rows are labels, columns predictions.
        names: names of the K classes.
    """
    errors: dict[ErrorType, list[Confusion]] = {kind: [] for kind in ErrorType}
    for confusion in sorted(_confusions(counts_KK, names), key=lambda confusion: -confusion.crops):
        if kind := error_type(confusion.label, confusion.predicted):
            errors[kind].append(confusion)
    return errors


def total(confusions: Sequence[Confusion]) -> int:
    """Returns the number of crops in all confusions."""
    return sum(confusion.crops for confusion in confusions)


def examples(confusions: Sequence[Confusion]) -> str:
    """Describes the first three confusions, such as "23 predicted as 2 (4x), 41 predicted as 4 (1x)"."""
    return ", ".join(f"{each.label} predicted as {each.predicted} ({each.crops}x)" for each in confusions[:EXAMPLES])


def digit_confusions(counts_KK: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns for each of PLACES the confusion matrix of digits, int64 [D,D]: rows are labels, columns predictions.

    Only crops whose label and prediction have equally many digits are counted.

    Args:
        counts_KK: confusion matrix of the classes, int64.
        names: names of the K classes.
    """
    confusions = {place: np.zeros((10, 10), dtype=np.int64) for place in PLACES}
    for label, predicted, crops in _confusions(counts_KK, names):
        if len(label) != len(predicted) or not _are_numbers(label, predicted):
            continue
        places = PLACES[:2] if len(label) == 2 else PLACES[2:]
        for place, label_digit, predicted_digit in zip(places, label, predicted, strict=True):
            confusions[place][int(label_digit), int(predicted_digit)] += crops
    return confusions


def _are_numbers(label: str, predicted: str) -> bool:
    return bool(JERSEY_NUMBER.fullmatch(label) and JERSEY_NUMBER.fullmatch(predicted))


def _confusions(counts_KK: np.ndarray, names: Sequence[str]) -> Iterator[Confusion]:
    for label, predicted in np.argwhere(counts_KK):
        yield Confusion(names[label], names[predicted], int(counts_KK[label, predicted]))
