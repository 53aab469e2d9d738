"""Misread numbers sorted by what happened to their digits.

A confusion matrix of 43 numbers shows that 23 was read as 2; that a digit was missing, as in 41 read as 4, is what
tells a cropped or folded shirt from digits that look alike. Every error has exactly one type, the first that fits:

| type                   | true | read   | when                                                      |
| ---------------------- | ---- | ------ | --------------------------------------------------------- |
| other                  | A7   | 7      | one of the two is no jersey number: "A7", "007", ""       |
| 0 against 00           | 00   | 0      | these two, either way round                               |
| missing digit          | 23   | 2, 3   | one of two digits was read ("11" as "1", "10" as "0")     |
| added digit            | 2    | 23, 32 | the other way round                                       |
| substituted only digit | 2    | 3      | one digit each                                            |
| swapped digits         | 23   | 32     | both digits in the wrong order ("01" as "10")             |
| substituted tens       | 23   | 73     | two digits each, the ones are right                       |
| substituted ones       | 23   | 28     | two digits each, the tens are right                       |
| several digits         | 23   | 71, 7  | no digit is right, whether two or one were read           |

Shapes: K classes; counts_KK[true, read] are numbers of crops; D = 10 digits.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from jersey.core.labels import JERSEY_NUMBER

PLACES = ("tens", "ones", "only digit")
EXAMPLES = 3


class ErrorType(StrEnum):
    """What happened to the digits; in the order of tables and pictures."""

    SUBSTITUTED_TENS = "substituted tens"
    SUBSTITUTED_ONES = "substituted ones"
    SUBSTITUTED_ONLY = "substituted only digit"
    MISSING = "missing digit"
    ADDED = "added digit"
    ZEROS = "0 against 00"
    SWAPPED = "swapped digits"
    SEVERAL = "several digits"
    OTHER = "other"


class Confusion(NamedTuple):
    """A number, what it was read as, and how many crops it happened to."""

    true: str
    read: str
    crops: int


def error_type(true: str, read: str) -> ErrorType | None:
    """The one type of the error of reading `true` as `read`; None if that is right."""
    if true == read:
        return None
    if not (JERSEY_NUMBER.fullmatch(true) and JERSEY_NUMBER.fullmatch(read)):
        return ErrorType.OTHER
    if {true, read} == {"0", "00"}:
        return ErrorType.ZEROS
    if len(true) > len(read):
        return ErrorType.MISSING if read in true else ErrorType.SEVERAL
    if len(true) < len(read):
        return ErrorType.ADDED if true in read else ErrorType.SEVERAL
    if len(true) == 1:
        return ErrorType.SUBSTITUTED_ONLY
    if true == read[::-1]:
        return ErrorType.SWAPPED
    if true[1] == read[1]:
        return ErrorType.SUBSTITUTED_TENS
    return ErrorType.SUBSTITUTED_ONES if true[0] == read[0] else ErrorType.SEVERAL


def errors_by_type(counts_KK: np.ndarray, names: Sequence[str]) -> dict[ErrorType, list[Confusion]]:
    """The confusions of every type, also of those without any; the most frequent first, then in the names' order."""
    errors: dict[ErrorType, list[Confusion]] = {kind: [] for kind in ErrorType}
    for confusion in sorted(_confusions(counts_KK, names), key=lambda confusion: -confusion.crops):
        if kind := error_type(confusion.true, confusion.read):
            errors[kind].append(confusion)
    return errors


def total(confusions: Sequence[Confusion]) -> int:
    """The number of crops in all of them."""
    return sum(confusion.crops for confusion in confusions)


def examples(confusions: Sequence[Confusion]) -> str:
    """The first three in words, such as "23 read as 2 (4x), 41 read as 4 (1x)"."""
    return ", ".join(f"{true} read as {read} ({crops}x)" for true, read, crops in confusions[:EXAMPLES])


def digit_confusions(counts_KK: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """For each of PLACES, which digit (row) was read as which (column), int64 [D,D], right ones too.

    Crops count whose true number and reading have equally many digits.
    """
    confusions = {place: np.zeros((10, 10), dtype=np.int64) for place in PLACES}
    for true, read, crops in _confusions(counts_KK, names):
        if len(true) != len(read) or not (JERSEY_NUMBER.fullmatch(true) and JERSEY_NUMBER.fullmatch(read)):
            continue
        places = PLACES[:2] if len(true) == 2 else PLACES[2:]
        for place, true_digit, read_digit in zip(places, true, read, strict=True):
            confusions[place][int(true_digit), int(read_digit)] += crops
    return confusions


def _confusions(counts_KK: np.ndarray, names: Sequence[str]) -> Iterator[Confusion]:
    for true, read in np.argwhere(counts_KK):
        yield Confusion(names[true], names[read], int(counts_KK[true, read]))
