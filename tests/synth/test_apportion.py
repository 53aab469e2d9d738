import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jersey.synth.settings import apportion


@given(st.integers(1, 60), st.integers(0, 3000), st.floats(1, 500))
def test_counts_add_up_never_rise_and_leave_nobody_out(classes: int, extra: int, imbalance: float) -> None:
    numbers = [str(number) for number in range(classes)]
    counts = apportion(classes + extra, numbers=numbers, imbalance=imbalance)
    assert list(counts) == numbers
    assert sum(counts.values()) == classes + extra
    assert min(counts.values()) >= 1
    assert all(first >= second for first, second in itertools.pairwise(counts.values()))


@given(st.integers(1, 60), st.integers(0, 3000))
def test_without_imbalance_counts_differ_by_at_most_one(classes: int, extra: int) -> None:
    counts = apportion(classes + extra, numbers=[str(number) for number in range(classes)]).values()
    assert max(counts) - min(counts) <= 1


def test_a_long_tail_by_hand() -> None:
    # Targets 400, 200, 100 fall by the square root of 4.
    assert apportion(700, numbers=["8", "00", "6"], imbalance=4.0) == {"8": 400, "00": 200, "6": 100}


def test_the_ratio_is_the_asked_one() -> None:
    counts = apportion(20_000, numbers=[str(number) for number in range(40)], imbalance=64.0)
    assert counts["0"] / counts["39"] == pytest.approx(64, rel=0.03)
