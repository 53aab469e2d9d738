"""Intervals, against scipy."""

import pytest
from scipy.stats import binomtest

from jersey.evaluation.intervals import wilson_interval


@pytest.mark.parametrize(("right", "crops"), [(0, 1), (1, 1), (0, 30), (343, 360), (360, 360), (1, 360)])
def test_the_interval_is_scipys(right: int, crops: int) -> None:
    reference = binomtest(right, crops).proportion_ci(method="wilson")
    assert wilson_interval(right, crops) == pytest.approx((reference.low, reference.high), abs=1e-4)
