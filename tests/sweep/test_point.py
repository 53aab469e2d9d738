"""Folder names: safe, short, and one for each point."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jersey.sweep.plan import Assignment, folder_name

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=60)
    | st.sampled_from(["0", "00", "0.0", "none", "None", "true", "TRUE", "a/b", "a b", "A", "a", "1e-05", "é", "e"])
)
VALUES = SCALARS | st.lists(SCALARS, max_size=4).map(tuple)


def name_of(*values: Any) -> str:
    return folder_name(Assignment(f"data.x{n}", f"x{n}", repr(value)) for n, value in enumerate(values))


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((1e-4, 0), "x0=0.0001,x1=0"),
        (("stretch", None), "x0=stretch,x1=None"),
        (("00", True), "x0=00,x1=True"),
        ((-2.5, 1e-7), "x0=-2.5,x1=1e-07"),
    ],
)
def test_plain_values_are_seen_in_the_name(values: tuple[Any, ...], name: str) -> None:
    assert name_of(*values) == name


@pytest.mark.parametrize(
    ("value", "other"),
    [
        *(("0", "00"), (0, "0"), (1.0, "1.0"), (None, "None"), (None, "none"), (True, "true")),
        *(("a/b", "a_b"), ("A", "a"), ("", "/"), ("a,x1=b", "a"), ((48, 48), (48, 49)), ((1,), [1])),
        ("x" * 300 + "1", "x" * 300 + "2"),
    ],
)
def test_values_that_look_alike_have_names_of_their_own(value: Any, other: Any) -> None:
    assert name_of(value).lower() != name_of(other).lower()
    assert name_of(value, 1).lower() != name_of(other, 1).lower()


@given(st.lists(VALUES, min_size=1, max_size=3), st.lists(VALUES, min_size=1, max_size=3))
def test_names_differ_when_values_do_and_no_file_system_minds_them(values: list[Any], others: list[Any]) -> None:
    names = [name_of(*values), name_of(*others)]
    assert (names[0].lower() == names[1].lower()) == (list(map(repr, values)) == list(map(repr, others)))
    for name in names:
        assert re.fullmatch(r"x0=[A-Za-z0-9_+.,=-]+", name)
        assert len(name) < 200
        assert not name.endswith(".")


@given(st.lists(VALUES, min_size=8, max_size=8), st.integers(0, 7))
def test_a_name_of_many_axes_is_cut_and_still_tells_them_apart(values: list[Any], changed: int) -> None:
    others = [*values[:changed], (*values, "changed"), *values[changed + 1 :]]
    assert name_of(*values) != name_of(*others)
    assert max(len(name_of(*values)), len(name_of(*others))) < 200
