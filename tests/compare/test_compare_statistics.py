"""The statistics of comparisons: against other methods, and on simulations with a known gain."""

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
from helpers.simulated import two_sides

from jersey.compare.statistics import Gain, gain_between, group_means, mcnemar_p

COMPARISONS = 200
FEW_SAMPLES = 2000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def one_group(correct_SN: np.ndarray) -> np.ndarray:
    return np.zeros(correct_SN.shape[1], dtype=np.int64)


def repeated(*, groups: int = 1, **simulation: object) -> Iterator[Gain]:
    generator = rng(1)
    for _ in range(COMPARISONS):
        a_SN, b_SN = two_sides(generator, **simulation)  # type: ignore[arg-type]
        yield gain_between(a_SN, b_SN, np.arange(a_SN.shape[1]) % groups, rng=generator, samples=FEW_SAMPLES)


THREE_RUNS = {"runs": (3, 3), "seed_spread": (0.01, 0.01)}
SLOW = pytest.mark.slow
EQUALS: list[dict[str, object]] = [{}, {"crops": 350, "groups": 10}, THREE_RUNS, {"crops": 60, "accuracy": 0.97}]
MORE_EQUALS: list[dict[str, object]] = [
    {"groups": 43},
    {"runs": (3, 3)},
    {"runs": (2, 2), "seed_spread": (0.01, 0.01)},
    {"runs": (1, 3), "seed_spread": (0.01, 0.01)},
    {"runs": (5, 5), "seed_spread": (0.02, 0.02)},
    {"crops": 60, "accuracy": 0.97, "runs": (3, 3)},
]


@pytest.mark.parametrize("simulations", [EQUALS, pytest.param(MORE_EQUALS, marks=SLOW)], ids=("few", "more"))
def test_equal_sides_differ_significantly_at_most_once_in_twenty(simulations: list[dict[str, object]]) -> None:
    """The limit of 5 % applies to all simulations together; a single one exceeds 16 of 200 with a chance of 1 in 40."""
    false_positives = [sum(gain.is_significant for gain in repeated(**each)) for each in simulations]
    assert sum(false_positives) <= 0.05 * COMPARISONS * len(simulations), false_positives
    assert max(false_positives) <= 16, false_positives


@pytest.mark.parametrize(
    "simulation",
    [
        {},
        {"runs": (3, 3), "seed_spread": (0.005, 0.005)},
        pytest.param({"runs": (5, 5), "seed_spread": (0.01, 0.01)}, marks=SLOW),
    ],
    ids=str,
)
def test_three_points_are_found_on_1500_crops_four_times_in_five(simulation: dict[str, object]) -> None:
    """Runs have an accuracy of 90 %, and the correctness of two runs has a correlation of 0.5."""
    found = [gain for gain in repeated(gain=0.03, **simulation) if gain.is_significant]
    assert len(found) >= 0.8 * COMPARISONS
    assert all(gain.gain > 0 for gain in found)


@SLOW
def test_the_detectable_gain_is_found_four_times_in_five_and_intervals_cover_the_true_gain() -> None:
    detectable = float(np.median([gain.min_detectable for gain in repeated(accuracy=0.85)]))
    found = sum(gain.is_significant for gain in repeated(accuracy=0.85, gain=detectable))
    assert 0.7 * COMPARISONS < found < 0.9 * COMPARISONS
    assert sum(gain.low <= 0.02 <= gain.high for gain in repeated(gain=0.02, **THREE_RUNS)) >= 0.95 * COMPARISONS


def test_one_pair_has_the_interval_of_the_normal_approximation() -> None:
    a_SN, b_SN = two_sides(rng(), gain=0.03)
    gain_N = b_SN[0].astype(float) - a_SN[0]
    half = 1.96 * gain_N.std() / math.sqrt(len(gain_N))
    found = gain_between(a_SN, b_SN, one_group(a_SN), rng=rng())
    assert found.gain == pytest.approx(gain_N.mean())
    assert (found.low, found.high) == pytest.approx((gain_N.mean() - half, gain_N.mean() + half), abs=0.05 * half)


def test_with_very_many_crops_the_interval_is_that_of_the_t_test() -> None:
    """Student's t of 4 degrees of freedom is 2.776."""
    crops = 200_000  # so many that the variance over crops is negligible
    a_S, b_S = (0.90, 0.91, 0.92), (0.93, 0.95, 0.97)
    correct = [np.array([np.arange(crops) < accuracy * crops for accuracy in side]) for side in (a_S, b_S)]
    half = 2.776 * math.sqrt((np.var(a_S, ddof=1) + np.var(b_S, ddof=1)) / 2 * (1 / 3 + 1 / 3))
    found = gain_between(*correct, np.zeros(crops, dtype=np.int64), rng=rng())
    assert (found.low, found.high) == pytest.approx((0.04 - half, 0.04 + half), abs=0.06 * half)


def test_groups_have_equal_weights_whatever_their_size() -> None:
    correct_a_SN, correct_b_SN = np.array([[1, 1, 1, 1, 0]], dtype=bool), np.array([[1, 1, 1, 0, 1]], dtype=bool)
    group_N = np.array([0, 0, 0, 0, 1])
    assert group_means(correct_a_SN.astype(float), group_N).tolist() == [0.5]
    found = gain_between(correct_a_SN, correct_b_SN, group_N, rng=rng())
    assert found.gain == pytest.approx(0.75 / 2 + 1 / 2 - 1 / 2)


@pytest.mark.parametrize("crops", [(60, 27, 3), (20, 1)], ids=str)
def test_macro_recall_is_resampled_by_crop_even_if_a_group_is_missed(crops: tuple[int, ...]) -> None:
    group_N = np.repeat(range(len(crops)), crops)
    a_SN, b_SN = two_sides(rng(5), crops=len(group_N), accuracy=0.6, gain=0.2)
    a_SN[0, -1], b_SN[0, -1] = False, True
    crop_gain_N, generator, gains = b_SN[0].astype(float) - a_SN[0], rng(6), []
    for _ in range(4000):
        rows = generator.integers(len(group_N), size=len(group_N))
        of_groups = [crop_gain_N[rows][group_N[rows] == group] for group in range(len(crops))]
        gains.append(np.mean([gain.mean() for gain in of_groups if len(gain)]))
    low, high = np.quantile(gains, [0.025, 0.975])
    found = gain_between(a_SN, b_SN, group_N, rng=rng())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.06 * (high - low))


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"), [(0, 0, 1), (3, 3, 1), (0, 4, 2 / 16), (1, 5, 14 / 64), (5, 1, 14 / 64)]
)
def test_mcnemar_by_counting_coin_tosses(only_a: int, only_b: int, p: float) -> None:
    assert mcnemar_p(only_a, only_b) == pytest.approx(p)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 3), (2, 9), (10, 25), (40, 60)])
def test_the_permutation_test_of_one_pair_equals_mcnemars(only_a: int, only_b: int) -> None:
    both, crops = 30, 30 + only_a + only_b
    a_SN, b_SN = np.ones((2, 1, crops), dtype=bool)
    b_SN[0, both : both + only_a] = False
    a_SN[0, both + only_a :] = False
    found = gain_between(a_SN, b_SN, one_group(a_SN), rng=rng())
    p = mcnemar_p(only_a, only_b)
    assert found.p == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 10_000) + 1e-3)


def test_the_permutation_test_of_several_runs_equals_full_enumeration() -> None:
    a_SN = np.array([[0, 0, 0, 1, 1], [0, 1, 0, 1, 1]], dtype=bool)
    b_SN = np.array([[1, 1, 1, 0, 1], [1, 1, 0, 1, 1]], dtype=bool)
    gain_N = b_SN.mean(axis=0) - a_SN.mean(axis=0)
    ways = [abs(np.dot(signs, gain_N)) for signs in itertools.product((-1, 1), repeat=5)]
    exact = np.mean([way >= abs(gain_N.sum()) - 1e-9 for way in ways])
    assert gain_between(a_SN, b_SN, one_group(a_SN), rng=rng()).p == pytest.approx(exact, abs=0.02)


def test_four_crops_are_not_significant_though_the_interval_excludes_0() -> None:
    a_SN, b_SN = np.ones((2, 1, 1000), dtype=bool)
    a_SN[0, :4] = False
    found = gain_between(a_SN, b_SN, one_group(a_SN), rng=rng())
    assert found.low > 0
    assert not found.is_significant


def test_exchanging_the_sides_reverses_the_gain() -> None:
    a_SN, b_SN = two_sides(rng(), gain=0.05, runs=(3, 3))
    forward, backward = (gain_between(*sides, one_group(a_SN), rng=rng()) for sides in ((a_SN, b_SN), (b_SN, a_SN)))
    assert forward.gain == pytest.approx(-backward.gain)
    assert (forward.low, forward.high) == pytest.approx((-backward.high, -backward.low), abs=0.001)
    assert forward.is_significant
    assert backward.is_significant
    equal = gain_between(a_SN, a_SN[::-1], one_group(a_SN), rng=rng())
    assert equal.gain == 0
    assert not equal.is_significant
    a_SN, b_SN = two_sides(rng(), runs=(2, 2), seed_spread=(0.03, 0.03))
    single, several = (gain_between(a_SN[:runs], b_SN[:runs], one_group(a_SN), rng=rng()) for runs in (1, 2))
    assert several.high - several.low > 1.5 * (single.high - single.low), (
        "one run per side shows no variance over seeds"
    )
