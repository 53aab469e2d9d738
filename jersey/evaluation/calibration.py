"""How sure a network may be: a temperature for its logits, and from which confidence on its answers are right.

Both are found on the validation split and told of the test split. Unreadable crops have the class index -1: an answer
to one of them is wrong, and none of the temperature's business.

Shapes: N crops, K classes.
"""

import json
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jersey.inference.onnx_model import Threshold

Floats = NDArray[np.float64]

PRECISIONS = (0.95, 0.98, 0.99)
BINS = 15
DRAWS = 400
HOTTEST = 20.0


@dataclass(frozen=True)
class Answers:
    """What was answered to the crops of a split, and how surely.

    Args:
        logits_NK: of the network.
        labels_N: class indices; -1 for an unreadable crop.
        temperature: what the logits are divided by.
    """

    logits_NK: NDArray[np.floating]
    labels_N: NDArray[np.int64]
    temperature: float = 1.0

    @cached_property
    def probabilities_NK(self) -> Floats:
        """Rows sum to 1."""
        return _softmax(self.logits_NK.astype(np.float64) / self.temperature)

    @cached_property
    def confidence_N(self) -> Floats:
        """Of the answers: the highest probability."""
        return self.probabilities_NK.max(axis=1)

    @cached_property
    def right_N(self) -> NDArray[np.bool_]:
        """Whether the answers are right."""
        return self.logits_NK.argmax(axis=1) == self.labels_N

    @cached_property
    def readable_N(self) -> NDArray[np.bool_]:
        """Whether there is a number to read."""
        return self.labels_N >= 0

    def at(self, temperature: float) -> "Answers":
        """The same with another temperature."""
        return Answers(self.logits_NK, self.labels_N, temperature)


@dataclass(frozen=True)
class CalibrationError:
    """How far confidence is from the share of right answers, over readable crops.

    Args:
        value: the mean of |confidence - share of right answers| over `BINS` bins with equally many crops.
        low: where 95 % of the values lie in which the crops are drawn anew, with repetition: the lower end.
        high: the upper end.
        by_chance: what a perfectly calibrated network with these confidences would have on average: with few crops in a
            bin their share of right answers is off by chance.
    """

    value: float
    low: float
    high: float
    by_chance: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f}; by chance {self.by_chance:.4f})"


@dataclass(frozen=True)
class Calibration:
    """What the file and the report say of it.

    Args:
        temperature: of the logits.
        crops: readable validation crops that it was found on.
        before: of the test crops, with the logits as they are.
        after: with the temperature.
        thresholds: one a precision of `PRECISIONS`.
    """

    temperature: float
    crops: int
    before: CalibrationError
    after: CalibrationError
    thresholds: tuple[Threshold, ...]

    @property
    def facts(self) -> dict[str, str]:
        """For the metadata of the file."""
        return {"thresholds": json.dumps([asdict(each) for each in self.thresholds])}


def calibrate(val: Answers, test: Answers) -> Calibration:
    """Finds temperature and thresholds on `val`, and tells what they are worth on `test`."""
    temperature = fit_temperature(val.logits_NK[val.readable_N], val.labels_N[val.readable_N])
    val, test_after = val.at(temperature), test.at(temperature)
    return Calibration(
        temperature=temperature,
        crops=int(val.readable_N.sum()),
        before=calibration_error(test),
        after=calibration_error(test_after),
        thresholds=tuple(threshold(val, test_after, precision) for precision in PRECISIONS),
    )


def fit_temperature(logits_NK: NDArray[np.floating], labels_N: NDArray[np.int64]) -> float:
    """The temperature with the highest likelihood: https://arxiv.org/abs/1706.04599, section 4.2.

    The labels count as if one crop more had been seen, whose number nobody knows (so did Platt's, section 2.2 of
    https://www.researchgate.net/publication/2594015): where all are read right, the likelihood alone would have
    everything be certain. It is convex in 1/temperature, so its slope has one root, which is found by bisection between
    1 / `HOTTEST` and `HOTTEST`.
    """
    crops, classes = logits_NK.shape
    targets_NK = np.full((crops, classes), 1 / (crops + 1) / classes)
    targets_NK[np.arange(crops), labels_N] += crops / (crops + 1)
    scores_NK = logits_NK.astype(np.float64)

    def slope(inverse: float) -> float:
        """Of the negative log likelihood."""
        return float(((_softmax(scores_NK * inverse) - targets_NK) * scores_NK).sum())

    low, high = 1 / HOTTEST, HOTTEST
    for _ in range(60):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(1 / np.sqrt(low * high))


def calibration_error(answers: Answers, *, seed: int = 0) -> CalibrationError:
    """Expected calibration error in adaptive bins (https://arxiv.org/abs/1904.01685), with what chance makes of it."""
    confidence_N, right_N = answers.confidence_N[answers.readable_N], answers.right_N[answers.readable_N]
    crops, rng = len(confidence_N), np.random.default_rng(seed)
    again = (rng.integers(crops, size=crops) for _ in range(DRAWS))
    drawn = [_binned_gap(confidence_N[rows], right_N[rows]) for rows in again]
    perfect = [_binned_gap(confidence_N, rng.random(crops) < confidence_N) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return CalibrationError(_binned_gap(confidence_N, right_N), float(low), float(high), float(np.mean(perfect)))


def _binned_gap(confidence_N: Floats, right_N: NDArray[np.bool_]) -> float:
    gap_N = (confidence_N - right_N)[confidence_N.argsort(kind="stable")]
    return float(np.abs(np.add.reduceat(gap_N, bin_edges(len(gap_N))[:-1])).sum() / len(gap_N))


def bin_edges(crops: int) -> NDArray[np.int64]:
    """Where bins begin and end, of crops in the order of their confidence."""
    return np.linspace(0, crops, min(BINS, crops) + 1).astype(np.int64)


def threshold(val: Answers, test: Answers, precision: float) -> Threshold:
    """The least confidence above which the answers of `val` are right with a precision, and what that is on `test`.

    The crop to come counts as one more wrong answer, as in conformal risk control (https://arxiv.org/abs/2208.02814):
    without it, three right answers would do for 99 %. Coverage is of readable crops; an answer to an unreadable one is
    wrong.
    """
    confidence = _least_confidence(val, precision)
    if confidence is None:
        return Threshold(precision, None, 0.0, None, 0.0)
    answered_N = test.confidence_N >= confidence
    return Threshold(
        precision=precision,
        confidence=confidence,
        val_coverage=_coverage(val, confidence),
        test_precision=float(test.right_N[answered_N].mean()) if answered_N.any() else None,
        test_coverage=_coverage(test, confidence),
    )


def _least_confidence(answers: Answers, precision: float) -> float | None:
    order_N = (-answers.confidence_N).argsort(kind="stable")
    confidence_N, wrong_N = answers.confidence_N[order_N], (~answers.right_N[order_N]).cumsum()
    risk_N = (wrong_N + 1) / (np.arange(len(order_N)) + 2)
    next_N = np.append(confidence_N[1:], 0.0)
    is_last_N = next_N < confidence_N  # of equal ones all are answered or none
    holds_N = np.flatnonzero(is_last_N & (risk_N <= 1 - precision + 1e-12))
    if not len(holds_N):
        return None
    # Halfway to the next crop: a reader computes in single precision.
    return float(confidence_N[holds_N[-1]] + next_N[holds_N[-1]]) / 2


def _coverage(answers: Answers, confidence: float) -> float:
    return float((answers.confidence_N[answers.readable_N] >= confidence).mean())


def _softmax(scores_NK: Floats) -> Floats:
    exponents_NK = np.exp(scores_NK - scores_NK.max(axis=1, keepdims=True))
    return exponents_NK / exponents_NK.sum(axis=1, keepdims=True)
