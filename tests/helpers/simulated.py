"""Simulates whether runs with known expected accuracies are correct on crops.

A run is correct on a crop if the crop's difficulty is below the run's skill. Part of the difficulty is common to all
runs, and the rest is random. Difficulties are normally distributed, so that the expected accuracy of a run is exact.

Shapes: S runs, N crops.
"""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

SHARED = 0.8  # fraction of the variance that is common; errors of runs at 90 % then have a correlation of 0.5


def side(rng: np.random.Generator, hard_N: np.ndarray, *, runs: int, accuracy: float, seed_spread: float) -> np.ndarray:
    """Returns whether each run is correct on each crop, bool [S,N].

    Args:
        rng: generator of the runs' skills and of the random part of the difficulty.
        hard_N: common part of the difficulty, standard normal.
        runs: number of runs S.
        accuracy: expected accuracy over seeds and crops.
        seed_spread: standard deviation, over seeds, of a run's expected accuracy.
    """
    skill_S = accuracy + seed_spread * rng.normal(size=runs)
    threshold_S = np.array([NormalDist().inv_cdf(min(max(skill, 1e-6), 1 - 1e-6)) for skill in skill_S])
    luck_SN = rng.normal(size=(runs, len(hard_N)))
    return np.sqrt(SHARED) * hard_N + np.sqrt(1 - SHARED) * luck_SN < threshold_S[:, None]


def two_sides(
    rng: np.random.Generator,
    *,
    crops: int = 1500,
    runs: Sequence[int] = (1, 1),
    accuracy: float = 0.9,
    gain: float = 0.0,
    seed_spread: Sequence[float] = (0.0, 0.0),
) -> tuple[np.ndarray, np.ndarray]:
    """Returns two sides on the same crops, the second better by `gain`."""
    hard_N = rng.normal(size=crops)
    first, second = (
        side(rng, hard_N, runs=runs[index], accuracy=accuracy + index * gain, seed_spread=seed_spread[index])
        for index in (0, 1)
    )
    return first, second
