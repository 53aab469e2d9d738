"""Two sides of runs, compared by three scores: top-1, macro recall, and macro recall of the rarest numbers.

Shapes: S runs of a side, N crops of the test split, M of them that count in a score.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jersey.compare.runs import FinishedRun, rarest, remarks, require_comparable
from jersey.compare.statistics import Gain, Ints, gain_between, mcnemar_p
from jersey.core.errors import UserError

SEED = 0  # of the random draws, so that the same runs always give the same words


@dataclass(frozen=True)
class Comparison:
    """What was found.

    Args:
        a: runs of side A.
        b: runs of side B.
        crops: in the test split.
        numbers: among them.
        more_a: crops that a larger share of A's runs reads right.
        more_b: crops that a larger share of B's runs reads right.
        mcnemar: p of McNemar's exact test; None unless it is one run against one.
        gains: by the name of the score.
        remarks: what to know before believing it.
    """

    a: Sequence[FinishedRun]
    b: Sequence[FinishedRun]
    crops: int
    numbers: int
    more_a: int
    more_b: int
    mcnemar: float | None
    gains: dict[str, Gain]
    remarks: list[str]

    @property
    def is_one_pair(self) -> bool:
        """One run against one: then nothing is known of other seeds."""
        return self.mcnemar is not None


def compare(a: Sequence[FinishedRun], b: Sequence[FinishedRun], *, rare: int) -> Comparison:
    """Compares, crop by crop.

    Args:
        a: runs of one setting, with different seeds.
        b: runs of another.
        rare: how many of the rarest numbers make the third score; 0 leaves it out.

    Raises:
        UserError: a side has no run, or the runs cannot be paired.
    """
    if not a or not b:
        raise UserError("a side has no run; write: python -m jersey.compare RUN_A... -- RUN_B...")
    require_comparable(a, b)
    files = sorted(a[0].crops)
    right_a_SN, right_b_SN = (np.stack([run.right_N(files) for run in runs]) for runs in (a, b))
    more_N = right_b_SN.mean(axis=0) - right_a_SN.mean(axis=0)
    more_a, more_b = int((more_N < 0).sum()), int((more_N > 0).sum())
    true_N = np.array([a[0].crops[file][1] for file in files])
    rng = np.random.default_rng(SEED)
    gains = {
        name: gain_between(right_a_SN[:, rows_M], right_b_SN[:, rows_M], group_M, rng=rng)
        for name, rows_M, group_M in _scores(true_N, rarest(a[0], rare))
    }
    return Comparison(
        a=a,
        b=b,
        crops=len(files),
        numbers=len(set(true_N.tolist())),
        more_a=more_a,
        more_b=more_b,
        mcnemar=mcnemar_p(more_a, more_b) if len(a) == len(b) == 1 else None,
        gains=gains,
        remarks=remarks(a, b),
    )


def _scores(true_N: NDArray[np.str_], rare_numbers: Sequence[str]) -> Iterator[tuple[str, Ints, Ints]]:
    """The name of each score, the M crops that count in it, and the group of each of those."""
    all_N = np.arange(len(true_N))
    yield "top-1", all_N, np.zeros_like(all_N)
    yield "macro recall", all_N, np.unique(true_N, return_inverse=True)[1]
    if rare_numbers:
        rows_M = np.isin(true_N, rare_numbers).nonzero()[0]
        groups_M = np.unique(true_N[rows_M], return_inverse=True)[1]
        yield f"macro recall of the {len(rare_numbers)} rarest", rows_M, groups_M
