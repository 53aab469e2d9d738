"""What a test set and a few seeds can say about the gain from side A to side B.

Every run has read the same crops, so sides are compared crop by crop: a crop's gain is the share of B's runs that read
it right, less the share of A's runs. Comparing classifiers on one test set in pairs: Dietterich 1998,
https://doi.org/10.1162/089976698300017197. Two things would differ at a repetition, and `gain_between` draws both:

- The crops. They are resampled with their runs kept together, so that crops which every run finds hard stay hard.
- The seeds, which often matter more: Bouthillier et al. 2021, https://arxiv.org/abs/2103.03098. Resampling three runs
  would give two thirds of their variance, and too few extremes. Instead, each draw is shifted by Student's t times the
  standard error of the means, from one spread of runs pooled over both sides. So a side may have a single run; and
  with as many runs a side little is lost where one of them spreads more.

The chance in which crops a run happens to get right is part of both terms, so intervals come out a little too wide:
see Owen 2007, https://arxiv.org/abs/0712.1111, on resampling rows and columns. With a single run a side there is no
spread of seeds to see, and the interval is about these two trained models, not about how they were trained.

Shapes: S runs of a side, N crops, G groups of crops, C cells (crops of one group with one gain), R random draws.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BOOTSTRAP_SAMPLES = 10_000
LEVEL = 0.95  # of intervals; the test that must agree errs in the rest
POWER = 0.8


@dataclass(frozen=True)
class Gain:
    """How much better B is than A by one score, as a share of 1, with its 95 % interval from `low` to `high`.

    Attributes:
        a_S: the score of each run of A.
        b_S: the score of each run of B.
        gain: mean of B less mean of A.
        p: of the test whether this gain is more than chance in which side reads which crop right.
        smallest: a true gain of this size would be shown four times in five.
    """

    a_S: Floats
    b_S: Floats
    gain: float
    low: float
    high: float
    p: float
    min_detectable: float

    @property
    def is_significant(self) -> bool:
        """Whether this is a difference: the interval leaves 0 out, and enough crops say so."""
        return not self.low <= 0 <= self.high and self.p <= 1 - LEVEL


def gain_between(
    right_a_SN: Bools, right_b_SN: Bools, group_N: Ints, *, rng: np.random.Generator, draws: int = BOOTSTRAP_SAMPLES
) -> Gain:
    """The gain in the mean, over groups, of the share of crops that were read right.

    Args:
        right_a_SN: whether each run of A has read each crop right.
        right_b_SN: the same for B, on the same crops.
        group_N: group of each crop, 0 to G - 1: the number, for macro recall; always 0, for accuracy.
        rng: of the draws.
        draws: how many.
    """
    a_S, b_S = (group_means(right_SN.astype(float), group_N) for right_SN in (right_a_SN, right_b_SN))
    crop_gain_N = right_b_SN.mean(axis=0) - right_a_SN.mean(axis=0)
    gain = float(b_S.mean() - a_S.mean())
    # Crops of a cell are alike, so that drawing counts is enough.
    cells_2C, crops_C = np.unique(np.stack([crop_gain_N, group_N]), axis=1, return_counts=True)
    gain_C, group_C = cells_2C[0], cells_2C[1].astype(np.int64)
    drawn_R = _resampled(gain_C, group_C, crops_C, rng, draws) + _other_seeds(a_S, b_S, rng, draws)
    low, high = np.quantile(drawn_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    p = _permutation_p(gain_C, group_C, crops_C, rng, draws)
    smallest = float(np.quantile(abs(drawn_R - gain), LEVEL) + np.quantile(drawn_R - gain, POWER))
    return Gain(a_S, b_S, gain, low, high, p, smallest)


def group_means(value_SN: Floats, group_N: Ints) -> Floats:
    """Mean over groups of the mean over the crops of a group, [S]."""
    crops_G = np.bincount(group_N)
    return np.stack([(np.bincount(group_N, weights=value_N) / crops_G).mean() for value_N in value_SN])


def _resampled(gain_C: Floats, group_C: Ints, crops_C: Ints, rng: np.random.Generator, draws: int) -> Floats:
    """The gain on crops drawn with replacement, [R]; a group that is not drawn does not count in its draw."""
    drawn_RC = rng.multinomial(crops_C.sum(), crops_C / crops_C.sum(), size=draws).astype(float)
    in_group_CG = np.eye(group_C.max() + 1)[group_C]
    crops_RG, sums_RG = drawn_RC @ in_group_CG, drawn_RC @ (in_group_CG * gain_C[:, None])
    means_RG = np.divide(sums_RG, crops_RG, out=np.zeros_like(sums_RG), where=crops_RG > 0)
    return means_RG.sum(axis=1) / (crops_RG > 0).sum(axis=1)


def _other_seeds(a_S: Floats, b_S: Floats, rng: np.random.Generator, draws: int) -> Floats:
    """By how much runs with other seeds may shift the gain, [R]; zeros where no side has two runs."""
    freedom = len(a_S) + len(b_S) - 2
    if freedom == 0:
        return np.zeros(draws)
    variance = sum(((score_S - score_S.mean()) ** 2).sum() for score_S in (a_S, b_S)) / freedom
    return rng.standard_t(freedom, size=draws) * math.sqrt(variance * (1 / len(a_S) + 1 / len(b_S)))


def _permutation_p(gain_C: Floats, group_C: Ints, crops_C: Ints, rng: np.random.Generator, draws: int) -> float:
    """Share of draws with at least this gain, up or down, when chance decides crop by crop which side is which.

    Fisher's randomisation test. Of one pair of runs it is McNemar's, up to the chance of the draws. It keeps a handful
    of crops from deciding, to which a resample gives too narrow an interval.
    """
    crops_G = np.bincount(group_C, weights=crops_C)
    weight_C = gain_C / (crops_G[group_C] * len(crops_G))
    gains_R = (2 * rng.binomial(crops_C, 0.5, size=(draws, len(crops_C))) - crops_C) @ weight_C
    reached = abs(gains_R) >= abs(crops_C @ weight_C) - 1e-12
    return float((1 + reached.sum()) / (1 + draws))


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Exact two-sided p that a fair coin splits the crops which one side alone reads right as unevenly as this.

    McNemar 1947, https://doi.org/10.1007/BF02295996, with the binomial distribution in place of its approximation.
    """
    crops = only_a + only_b
    ways = sum(math.comb(crops, fewer) for fewer in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * ways / 2**crops)
