"""From probabilities to an answer: what the roster makes of them, and when to abstain.

The roster is a prior. Its numbers share all but `OFF_ROSTER_PROBABILITY` of it, evenly, and the other numbers share `OFF_ROSTER_PROBABILITY`: a crop of
somebody who is not on the roster (a referee, the other team) is rare but does occur. By Bayes the network's
probabilities are multiplied by the prior and normalized; what the network took for its own prior is near to even, since
training balances the numbers. So an unsure reading moves to the roster's likeliest number, and a sure one stays where
it is. If the number that comes out is not on the roster, the answer is None, however sure the reading is.

The confidence is the probability of the first number after all that. The least one for a precision was found on
validation crops without a roster: a roster that lacks numbers which do occur makes it too high.

Shapes: N crops, F crops of one player, K numbers.
"""

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jersey.core.errors import UserError
from jersey.inference.onnx_model import Threshold

OFF_ROSTER_PROBABILITY = 0.01
"""How probable it is, before the crop is seen, that its number is not on the roster."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was read on a crop, or on several crops of one player.

    Attributes:
        number: as text, since "0" and "00" are two numbers; None where the model abstains.
        confidence: the calibrated probability of the likeliest number, also where the model abstains.
        top_k: the likeliest numbers, each with its probability.
        unseen: whether the number is none of those that the network was trained on.
    """

    number: str | None
    confidence: float
    top_k: tuple[tuple[str, float], ...]
    unseen: bool = False


class DecisionRule:
    """Turns probabilities into readings.

    Args:
        numbers: what the columns of probabilities stand for.
        labels: the numbers that the network was trained on.
        roster: the numbers that may occur; None for any.
        threshold: the least confidence of an answer.
        top_k: how many numbers a reading names.
    """

    def __init__(
        self,
        numbers: Sequence[str],
        *,
        labels: Sequence[str],
        roster: Sequence[str] | None = None,
        threshold: float = 0.0,
        top_k: int = 5,
    ) -> None:
        if top_k < 1:
            raise UserError(f"top_k={top_k} names no number; set it to 1 or more")
        self.numbers = tuple(numbers)
        self.threshold = threshold
        self.top_k = min(top_k, len(self.numbers))
        self.unseen_K = (~np.isin(self.numbers, labels)).tolist()
        self.is_listed_K = _listed(self.numbers, roster)
        self.prior_K = None if roster is None else _prior(self.is_listed_K)

    def predictions(self, probabilities_NK: np.ndarray) -> list[Prediction]:
        """A reading a row."""
        if self.prior_K is not None:
            probabilities_NK = probabilities_NK * self.prior_K
            probabilities_NK /= probabilities_NK.sum(axis=1, keepdims=True)
        # Stable: of equal probabilities the first number comes first, as in argmax.
        top_Nk = np.argsort(-probabilities_NK, axis=1, kind="stable")[:, : self.top_k]
        shares_Nk = np.take_along_axis(probabilities_NK, top_Nk, axis=1)
        answers_N = (shares_Nk[:, 0] >= self.threshold) & self.is_listed_K[top_Nk[:, 0]]
        readings = []
        for top_k, shares_k, is_answer in zip(top_Nk.tolist(), shares_Nk.tolist(), answers_N.tolist(), strict=True):
            named = tuple(zip([self.numbers[index] for index in top_k], shares_k, strict=True))
            number, unseen = (named[0][0], self.unseen_K[top_k[0]]) if is_answer else (None, False)
            readings.append(Prediction(number, shares_k[0], named, unseen))
        return readings


def confidence_for(min_precision: float | None, thresholds: Sequence[Threshold]) -> float:
    """The least confidence of answers with that precision; 0 where none is asked for, UserError if it is unknown."""
    if min_precision is None:
        return 0.0
    known = {each.precision: each.confidence for each in thresholds}
    confidence = known.get(min_precision)
    if confidence is None:
        reached = ", ".join(f"{precision:g}" for precision, least in known.items() if least is not None)
        why = "no confidence gave it on the validation crops" if min_precision in known else "it was not looked for"
        lacks = f"the model has no confidence for min_precision={min_precision:g}, {why}"
        raise UserError(f"{lacks}; it has those for: {reached or 'none, so leave it out'}")
    return confidence


def _listed(numbers: Sequence[str], roster: Sequence[str] | None) -> np.ndarray:
    """Which numbers are on the roster, bool [K]."""
    if roster is None:
        return np.ones(len(numbers), bool)
    if isinstance(roster, str) or not all(isinstance(number, str) for number in roster):
        raise UserError(f"the roster {roster!r} is not a list of texts; write ['4', '00'], as 00 is not the number 0")
    if not roster:
        raise UserError("the roster is empty; name its numbers, or leave it out")
    if twice := [number for number, count in Counter(roster).items() if count > 1]:
        raise UserError(f"the roster lists {', '.join(twice)} twice; list each number once")
    for number in roster:
        if number not in numbers:
            near = ", ".join(_nearest(number, numbers))
            raise UserError(f"the model does not read the roster's {number!r}; the nearest that it reads: {near}")
    return np.isin(numbers, roster)


def _nearest(number: str, known: Sequence[str]) -> list[str]:
    """By their characters, then by their value."""

    def distance(other: str) -> tuple[float, float]:
        values = [int(each) for each in (number, other) if each.isdecimal() and len(each) < 9] or [0]
        return -difflib.SequenceMatcher(None, number, other).ratio(), abs(values[0] - values[-1])

    return sorted(known, key=distance)[:3]


def _prior(is_listed_K: np.ndarray) -> np.ndarray:
    """The probability of each number before the crop is seen; its scale does not matter."""
    listed = is_listed_K.sum()
    others = max(len(is_listed_K) - listed, 1)
    return np.where(is_listed_K, (1 - OFF_ROSTER_PROBABILITY) / listed, OFF_ROSTER_PROBABILITY / others)
