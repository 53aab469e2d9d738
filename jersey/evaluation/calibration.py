"""Calibration: temperature scaling, expected calibration error, and confidence thresholds for a target precision.

Temperature and thresholds are fitted on the validation split and evaluated on the test split. Illegible crops have the
class index -1: a prediction on one of them is incorrect, and temperature and calibration error exclude them.

Shapes: N crops, K classes, B bins.
"""

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import nan, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jersey.inference.onnx_model import Threshold

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

PRECISIONS = (0.95, 0.98, 0.99)
"""Target precisions of the thresholds in an exported file, which are the choices of `--min_precision`."""

BINS = 15  # as in https://arxiv.org/abs/1706.04599
BOOTSTRAP_SAMPLES = 400  # a bound of the interval has a standard error of about 3 % of the interval's width
MAX_TEMPERATURE = 20.0  # bounds the search; fitted temperatures are near 1


@dataclass(frozen=True)
class Predictions:
    """The predictions of a network on a split.

    Attributes:
        logits_NK: logits before the division by the temperature.
        labels_N: class index of each label, -1 for an illegible crop.
        temperature: divisor of the logits.
    """

    logits_NK: NDArray[np.floating]
    labels_N: Ints
    temperature: float = 1.0

    @cached_property
    def probabilities_NK(self) -> Floats:
        """Softmax of the logits divided by the temperature."""
        return _softmax(self.logits_NK.astype(np.float64) / self.temperature)

    @cached_property
    def confidence_N(self) -> Floats:
        """The probability of each crop's predicted class."""
        return self.probabilities_NK.max(axis=1)

    @cached_property
    def correct_N(self) -> Bools:
        """Whether the predicted class is the label."""
        return self.logits_NK.argmax(axis=1) == self.labels_N

    @cached_property
    def legible_N(self) -> Bools:
        """Whether the crop is legible."""
        return self.labels_N >= 0

    @property
    def legible_confidence_and_correct(self) -> tuple[Floats, Bools]:
        """`confidence_N` and `correct_N` of the legible crops."""
        return self.confidence_N[self.legible_N], self.correct_N[self.legible_N]

    def at(self, temperature: float) -> "Predictions":
        """Returns the same predictions with another temperature."""
        return replace(self, temperature=temperature)


@dataclass(frozen=True)
class CalibrationError:
    """The `expected_calibration_error` of the legible crops.

    Attributes:
        value: the error, as a fraction.
        low: lower bound of its 95 % bootstrap interval.
        high: upper bound of that interval.
        expected_if_calibrated: mean error of a perfectly calibrated network with these confidences. It is above 0
            because the accuracy of a bin with few crops differs from their mean confidence by chance.
    """

    value: float
    low: float
    high: float
    expected_if_calibrated: float

    def __str__(self) -> str:
        interval = f"95 % interval {self.low:.4f} to {self.high:.4f}"
        return f"{self.value:.4f} ({interval}; {self.expected_if_calibrated:.4f} under perfect calibration)"


@dataclass(frozen=True)
class Calibration:
    """The calibration of an exported network.

    Attributes:
        temperature: divisor of the logits.
        crops: number of legible validation crops that the temperature was fitted on.
        before: calibration error of the test crops without the temperature.
        after: calibration error of the test crops with the temperature.
        thresholds: one threshold for each of `PRECISIONS`.
    """

    temperature: float
    crops: int
    before: CalibrationError
    after: CalibrationError
    thresholds: tuple[Threshold, ...]

    @property
    def metadata(self) -> dict[str, str]:
        """The thresholds as metadata of the exported file."""
        return {"thresholds": json.dumps([asdict(each) for each in self.thresholds])}


def calibrate(val: Predictions, test: Predictions) -> Calibration:
    """Fits temperature and thresholds on `val`, and evaluates them on `test`; both have the temperature 1."""
    temperature = fit_temperature(val.logits_NK[val.legible_N], val.labels_N[val.legible_N])
    val, test_after = val.at(temperature), test.at(temperature)
    return Calibration(
        temperature=temperature,
        crops=int(val.legible_N.sum()),
        before=calibration_error(test),
        after=calibration_error(test_after),
        thresholds=tuple(threshold(val, test_after, precision) for precision in PRECISIONS),
    )


def fit_temperature(logits_NK: NDArray[np.floating], labels_N: Ints) -> float:
    """Returns the temperature with the maximum likelihood: https://arxiv.org/abs/1706.04599, section 4.2.

    The labels are smoothed by one extra crop of unknown number (as Platt did, section 2.2 of
    https://www.researchgate.net/publication/2594015): if all predictions are correct, the likelihood alone would make
    all of them certain. The negative log likelihood is convex in 1/temperature, so its slope has one root, which is
    found by bisection between 1 / `MAX_TEMPERATURE` and `MAX_TEMPERATURE`.

    Args:
        logits_NK: logits of legible crops.
        labels_N: class index of each label.
    """
    crops, classes = logits_NK.shape
    targets_NK = np.full((crops, classes), 1 / (crops + 1) / classes)
    targets_NK[np.arange(crops), labels_N] += crops / (crops + 1)
    scores_NK = logits_NK.astype(np.float64)

    def slope(inverse: float) -> float:
        """Returns the slope of the negative log likelihood."""
        return float(((_softmax(scores_NK * inverse) - targets_NK) * scores_NK).sum())

    low, high = 1 / MAX_TEMPERATURE, MAX_TEMPERATURE
    for _ in range(60):  # so many halvings exceed the precision of float64
        middle = np.sqrt(low * high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(1 / np.sqrt(low * high))


def expected_calibration_error(confidence_N: Floats, correct_N: Bools) -> float:
    """Returns the mean |confidence - accuracy| over `BINS` bins of equally many crops; nan without crops or with nan.

    The bins are adaptive (https://arxiv.org/abs/1904.01685), since bins of equal width are mostly empty for an accurate
    network.

    Args:
        confidence_N: probability of each crop's predicted class.
        correct_N: whether each prediction is correct.
    """
    if not len(confidence_N):
        return nan
    _, confidence_B, correct_B = _bin_sums(confidence_N, correct_N)
    return float(np.abs(confidence_B - correct_B).sum() / len(confidence_N))


def _bin_sums(confidence_N: Floats, correct_N: Bools) -> tuple[Ints, Floats, Floats]:
    """Returns for each bin of rising confidence: number of crops, sum of confidences, number of correct predictions."""
    order_N = confidence_N.argsort(kind="stable")
    edges = np.linspace(0, len(order_N), min(BINS, len(order_N)) + 1).astype(np.int64)
    confidence_B = np.add.reduceat(confidence_N[order_N], edges[:-1])
    correct_B = np.add.reduceat(correct_N[order_N].astype(np.float64), edges[:-1])
    return np.diff(edges), confidence_B, correct_B


def calibration_error(predictions: Predictions, *, seed: int = 0) -> CalibrationError:
    """Returns the expected calibration error of the legible crops, its interval, and its value if calibrated.

    Args:
        predictions: predictions on a split with at least one legible crop.
        seed: seed of the bootstrap samples.
    """
    confidence_N, correct_N = predictions.legible_confidence_and_correct
    crops, rng = len(confidence_N), np.random.default_rng(seed)
    samples = (rng.integers(crops, size=crops) for _ in range(BOOTSTRAP_SAMPLES))
    resampled = [expected_calibration_error(confidence_N[rows], correct_N[rows]) for rows in samples]
    calibrated = [
        expected_calibration_error(confidence_N, rng.random(crops) < confidence_N) for _ in range(BOOTSTRAP_SAMPLES)
    ]
    low, high = np.quantile(resampled, (0.025, 0.975))
    value = expected_calibration_error(confidence_N, correct_N)
    return CalibrationError(value, float(low), float(high), float(np.mean(calibrated)))


def threshold(val: Predictions, test: Predictions, precision: float) -> Threshold:
    """Returns the minimum confidence at which predictions on `val` reach a precision, and their precision on `test`.

    One additional incorrect prediction is assumed for the next crop, as in conformal risk control
    (https://arxiv.org/abs/2208.02814): otherwise three correct predictions would be enough for 99 %. Coverage is a
    fraction of the legible crops; a prediction on an illegible crop is incorrect.

    Args:
        val: predictions on the validation split, at the temperature of the exported file.
        test: predictions on the test split, at the same temperature.
        precision: target precision, such as 0.99.
    """
    confidence = _lowest_confidence(val, precision)
    if confidence is None:
        return Threshold(precision, None, 0.0, None, 0.0)
    return on_test(Threshold(precision, confidence, _coverage(val, confidence), None, 0.0), test)


def on_test(threshold: Threshold, test: Predictions) -> Threshold:
    """Returns a threshold with its precision and coverage on other predictions at the temperature of the file."""
    if threshold.confidence is None:
        return threshold
    accepted_N = test.confidence_N >= threshold.confidence
    precision = float(test.correct_N[accepted_N].mean()) if accepted_N.any() else None
    return replace(threshold, test_precision=precision, test_coverage=_coverage(test, threshold.confidence))


def _lowest_confidence(predictions: Predictions, precision: float) -> float | None:
    """Returns the lowest threshold that reaches the precision; None if none does."""
    order_N = (-predictions.confidence_N).argsort(kind="stable")
    confidence_N, errors_N = predictions.confidence_N[order_N], (~predictions.correct_N[order_N]).cumsum()
    risk_N = (errors_N + 1) / (np.arange(len(order_N)) + 2)
    next_N = np.append(confidence_N[1:], 0.0)
    is_last_N = next_N < confidence_N  # crops of equal confidence are accepted together
    accepted = np.flatnonzero(is_last_N & (risk_N <= 1 - precision + 1e-12))  # rounding must not exclude equality
    if not len(accepted):
        return None
    # The threshold lies halfway to the next crop, because consumers compute in single precision.
    return float(confidence_N[accepted[-1]] + next_N[accepted[-1]]) / 2


def _coverage(predictions: Predictions, confidence: float) -> float:
    """Returns the fraction of the legible crops with at least this confidence."""
    return float((predictions.confidence_N[predictions.legible_N] >= confidence).mean())


class ReliabilityBins(NamedTuple):
    """The legible crops in bins of rising confidence.

    Attributes:
        confidence_B: mean confidence.
        accuracy_B: fraction of correct predictions.
        low_B: lower bound of the 95 % interval of the accuracy.
        high_B: upper bound of that interval.
    """

    confidence_B: Floats
    accuracy_B: Floats
    low_B: Floats
    high_B: Floats


def reliability_bins(predictions: Predictions) -> ReliabilityBins:
    """Returns the bins of `expected_calibration_error`."""
    counts_B, confidence_B, correct_B = _bin_sums(*predictions.legible_confidence_and_correct)
    low_B, high_B = np.array([wilson_interval(*pair) for pair in zip(correct_B, counts_B, strict=True)]).T
    return ReliabilityBins(confidence_B / counts_B, correct_B / counts_B, low_B, high_B)


def coverage_and_precision(predictions: Predictions) -> tuple[Floats, Floats]:
    """Returns coverage and precision [N] of the 1, 2, ... N most confident predictions, illegible crops included."""
    order_N = (-predictions.confidence_N).argsort(kind="stable")
    coverage_N = predictions.legible_N[order_N].cumsum() / predictions.legible_N.sum()
    return coverage_N, predictions.correct_N[order_N].cumsum() / np.arange(1, len(order_N) + 1)


def wilson_interval(correct: float, crops: float, *, z: float = 1.96) -> tuple[float, float]:
    """Returns the 95 % confidence interval of a fraction, which is also valid for few crops and near 0 and 1.

    Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953.

    Args:
        correct: number of correct crops.
        crops: number of crops, at least 1.
        z: quantile of the normal distribution; 1.96 leads to 95 %.
    """
    fraction = correct / crops
    center = fraction + z**2 / (2 * crops)
    half = z * sqrt(fraction * (1 - fraction) / crops + z**2 / (4 * crops**2))
    return (center - half) / (1 + z**2 / crops), (center + half) / (1 + z**2 / crops)


def _softmax(scores_NK: Floats) -> Floats:
    exponents_NK = np.exp(scores_NK - scores_NK.max(axis=1, keepdims=True))
    return exponents_NK / exponents_NK.sum(axis=1, keepdims=True)
