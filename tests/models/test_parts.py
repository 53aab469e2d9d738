"""Every number is a different sum of parts, and other strings have no parts."""

import pytest

from jersey.core.labels import Labels
from jersey.models.parts import LENGTH, NUMBERS, ONES, PARTS, TENS, composition, parts_of


def test_the_parts_of_a_number() -> None:
    found = {number: set(parts_of(number)) for number in ("0", "00", "01", "10", "3", "23")}
    assert found == {
        "0": {LENGTH, ONES},
        "00": {LENGTH + 1, TENS, ONES},
        "01": {LENGTH + 1, TENS, ONES + 1},
        "10": {LENGTH + 1, TENS + 1, ONES},
        "3": {LENGTH, ONES + 3},
        "23": {LENGTH + 1, TENS + 2, ONES + 3},
    }
    assert len({parts_of(number) for number in NUMBERS}) == len(NUMBERS)


@pytest.mark.parametrize(
    "name",
    ["", "A7", "007", "100", "-1", "7 ", "3\n", "\N{FULLWIDTH DIGIT SEVEN}", "\N{SUPERSCRIPT TWO}", "1.", "unknown"],
)
def test_a_string_that_is_not_a_number_has_no_parts(name: str) -> None:
    assert parts_of(name) == ()
    assert composition([name]).sum() == 0


def test_the_composition_counts_every_part() -> None:
    composition_PN = composition(NUMBERS)
    assert Labels.from_names(NUMBERS).names == NUMBERS, "NUMBERS has the order of labels"
    assert composition_PN.shape == (PARTS, len(NUMBERS)) == (22, 110)
    assert composition_PN.unique().tolist() == [0, 1]
    assert composition_PN.sum(dim=0).tolist() == [1 + len(number) for number in NUMBERS]
    lengths, tens, ones = composition_PN.sum(dim=1).split([TENS - LENGTH, ONES - TENS, PARTS - ONES])
    assert lengths.tolist() == [10, 100]
    assert tens.tolist() == [10] * 10
    assert ones.tolist() == [11] * 10  # "3" beside "03" ... "93"
