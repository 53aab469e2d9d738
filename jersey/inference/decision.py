"""Turns probabilities into predictions: applies the roster, and decides when to abstain.

The roster is a prior. The other numbers together have the probability `OFF_ROSTER_PROBABILITY`, as a crop of somebody
who is not on the roster (a referee, the other team) is rare but does occur; the numbers on the roster have the rest,
evenly. By Bayes' rule the network's probabilities are multiplied by the prior and normalized; the network's own prior
is nearly even, since training balances the numbers. So an uncertain prediction moves to the roster's likeliest number,
and a confident one does not change. If the likeliest number is then not on the roster, the predictor abstains.

The confidence is the probability of the likeliest number after that. The min confidence for a precision was found on
validation crops without a roster: with a roster that lacks numbers which do occur, confidences are too high.

Shapes: N crops, K numbers, k likeliest numbers.
"""

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jersey.core.errors import UserError, shorten
from jersey.inference.onnx_model import Threshold

OFF_ROSTER_PROBABILITY = 0.01
"""The prior probability that the number of a crop is not on the roster."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for a crop, or for several crops of one player.

    Attributes:
        number: predicted number, as text because "0" and "00" are two numbers; None if the predictor abstains.
        confidence: calibrated probability of the likeliest number, also if the predictor abstains.
        top_k: likeliest numbers with their probabilities, the likeliest first.
        unseen: whether the network was not trained on the number.
    """

    number: str | None
    confidence: float
    top_k: tuple[tuple[str, float], ...]
    unseen: bool = False


class DecisionRule:
    """Turns probabilities into predictions.

    Args:
        numbers: numbers of the columns of probabilities.
        labels: numbers that the network was trained on.
        roster: numbers that may occur; None for any.
        threshold: min confidence, below which the rule abstains.
        top_k: number of likeliest numbers in a prediction.

    Raises:
        UserError: the roster or `top_k` cannot be used.
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
            raise UserError(f"top_k={top_k} keeps no number; set it to 1 or more")
        self.numbers = tuple(numbers)
        self.threshold = threshold
        self.top_k = min(top_k, len(self.numbers))
        self.unseen_K = (~np.isin(self.numbers, labels)).tolist()
        self.on_roster_K = _on_roster(self.numbers, roster)
        self.prior_K = None if roster is None else _prior(self.on_roster_K)

    def predictions(self, probabilities_NK: np.ndarray) -> list[Prediction]:
        """Returns a prediction for each row of probabilities, float [N,K], which sum to 1."""
        if self.prior_K is not None:
            probabilities_NK = probabilities_NK * self.prior_K
            probabilities_NK /= probabilities_NK.sum(axis=1, keepdims=True)
        # The sort is stable, so of equal probabilities the first number comes first, as in argmax.
        top_Nk = np.argsort(-probabilities_NK, axis=1, kind="stable")[:, : self.top_k]
        top_p_Nk = np.take_along_axis(probabilities_NK, top_Nk, axis=1)
        accepted_N = (top_p_Nk[:, 0] >= self.threshold) & self.on_roster_K[top_Nk[:, 0]]
        predictions = []
        for top_k, p_k, is_accepted in zip(top_Nk.tolist(), top_p_Nk.tolist(), accepted_N.tolist(), strict=True):
            likeliest = tuple(zip([self.numbers[index] for index in top_k], p_k, strict=True))
            number, unseen = (likeliest[0][0], self.unseen_K[top_k[0]]) if is_accepted else (None, False)
            predictions.append(Prediction(number, p_k[0], likeliest, unseen))
        return predictions


def confidence_for(min_precision: float | None, thresholds: Sequence[Threshold]) -> float:
    """Returns the min confidence for a precision.

    Args:
        min_precision: 0.95, 0.98 or 0.99; the confidence for None and for 0 is 0.
        thresholds: thresholds of the model.

    Raises:
        UserError: the model has no min confidence for this precision.
    """
    if not min_precision:
        return 0.0
    known = {each.precision: each.confidence for each in thresholds}
    confidence = known.get(min_precision)
    if confidence is None:
        reached = [f"{precision:g}" for precision, found in known.items() if found is not None]
        why = "no confidence reached it on the validation crops" if min_precision in known else "it was not computed"
        what = f"the model has no min confidence for min_precision={min_precision:g}, as {why}"
        raise UserError(f"{what}; set it to {' or '.join([*reached, '0'])}, where 0 is to never abstain")
    return confidence


def _on_roster(numbers: Sequence[str], roster: Sequence[str] | None) -> np.ndarray:
    """Returns whether each number is on the roster, bool [K]; raises UserError if the roster cannot be used."""
    if roster is None:
        return np.ones(len(numbers), bool)
    if isinstance(roster, str) or not all(isinstance(number, str) for number in roster):
        raise UserError(
            f"the roster {shorten(repr(roster))} is not a list of strings; write ['4', '00'], as 00 is not the number 0"
        )
    if not roster:
        raise UserError("the roster is empty; list its numbers, or leave it out")
    if twice := [number for number, count in Counter(roster).items() if count > 1]:
        raise UserError(f"the roster lists {', '.join(twice)} twice; list each number once")
    for number in roster:
        if number not in numbers:
            near = ", ".join(_nearest(number, numbers))
            raise UserError(
                f"the model does not know the roster's {shorten(number)!r}; the nearest that it knows: {near}"
            )
    return np.isin(numbers, roster)


def _nearest(number: str, known: Sequence[str]) -> list[str]:
    """Returns the three nearest numbers, by characters and then by value."""

    def distance(other: str) -> tuple[float, int]:
        have_values = all(each.isdecimal() and len(each) < 9 for each in (number, other))
        difference = abs(int(number) - int(other)) if have_values else 0
        return -difflib.SequenceMatcher(None, number, other).ratio(), difference

    return sorted(known, key=distance)[:3]


def _prior(on_roster_K: np.ndarray) -> np.ndarray:
    """Returns the prior probability of each number, up to a factor."""
    inside = on_roster_K.sum()
    outside = max(len(on_roster_K) - inside, 1)
    return np.where(on_roster_K, (1 - OFF_ROSTER_PROBABILITY) / inside, OFF_ROSTER_PROBABILITY / outside)
