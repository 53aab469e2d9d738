"""Temperature, calibration error and thresholds, on simulated predictions and by hand."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import binomtest

from jersey.evaluation.calibration import (
    BINS,
    Predictions,
    calibrate,
    calibration_error,
    coverage_and_precision,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
    threshold,
    wilson_interval,
)


def simulated(crops: int, *, temperature: float, seed: int = 0, classes: int = 5) -> Predictions:
    """Predictions of a network that is calibrated once its logits are divided by the temperature."""
    rng = np.random.default_rng(seed)
    scores_NK = rng.normal(0, 3, (crops, classes))
    labels_N = np.array([rng.choice(classes, p=row) for row in softmax(scores_NK, axis=1)])
    return Predictions((scores_NK * temperature).astype(np.float32), labels_N)


def predictions(confidences: list[float], correct: list[bool], labels: list[int] | None = None) -> Predictions:
    """Predictions of the first of two classes, with these confidences."""
    logits_N2 = np.log([[confidence, 1 - confidence] for confidence in confidences])
    return Predictions(logits_N2, np.array(labels or [0 if is_correct else 1 for is_correct in correct]))


def test_the_temperature_maximizes_the_likelihood() -> None:
    found = simulated(300, temperature=1.7)
    targets_NK = np.full((300, 5), 1 / 301 / 5)
    targets_NK[np.arange(300), found.labels_N] += 300 / 301

    def loss(temperature: float) -> float:
        return float(-(targets_NK * log_softmax(found.logits_NK.astype(float) / temperature, axis=1)).sum())

    best = minimize_scalar(loss, bounds=(0.1, 10), method="bounded", options={"xatol": 1e-9}).x
    assert fit_temperature(found.logits_NK, found.labels_N) == pytest.approx(best, rel=1e-4)


def test_confidence_stays_below_1_if_all_predictions_are_correct() -> None:
    """It rises with the number of crops."""
    confidence = []
    for crops in (10, 100, 1000):
        labels_N = np.arange(crops) % 4
        logits_NK = np.eye(4)[labels_N] * 5
        temperature = fit_temperature(logits_NK, labels_N)
        confidence.append(Predictions(logits_NK, labels_N, temperature).confidence_N[0])
    # One extra crop is correct by chance in a quarter of the cases.
    assert confidence == pytest.approx([1 - 0.75 / (crops + 1) for crops in (10, 100, 1000)], abs=1e-6)


def test_the_error_with_one_crop_per_bin_is_the_mean_gap() -> None:
    confidences = [0.55 + 0.03 * i for i in range(15)]
    correct = [i % 3 > 0 for i in range(15)]
    expected = np.mean([abs(c - r) for c, r in zip(confidences, correct, strict=True)])
    assert calibration_error(predictions(confidences, correct)).value == pytest.approx(expected)
    # Thirty crops are two per bin, where gaps cancel: one of each pair at 0.5 + x is correct.
    confidences = [0.51 + 0.03 * (i // 2) for i in range(30)]
    found = calibration_error(predictions(confidences, [i % 2 == 0 for i in range(30)]))
    assert found.value == pytest.approx(np.mean(confidences) - 0.5)
    assert np.isnan(expected_calibration_error(np.empty(0), np.empty(0, bool)))


def test_a_calibrated_network_only_has_the_error_expected_by_chance() -> None:
    found = [calibration_error(simulated(2000, temperature=1.0, seed=seed)) for seed in range(5)]
    assert np.mean([each.value for each in found]) == pytest.approx(
        np.mean([each.expected_if_calibrated for each in found]), rel=0.2
    )
    overconfident = calibration_error(simulated(2000, temperature=3.0))
    assert overconfident.low > 3 * overconfident.expected_if_calibrated
    assert overconfident.low < overconfident.value < overconfident.high


def test_illegible_crops_are_excluded_from_calibration() -> None:
    legible = simulated(200, temperature=1.0)
    both = Predictions(np.concatenate([legible.logits_NK, np.eye(5) * 9]), np.append(legible.labels_N, [-1] * 5))
    assert calibration_error(both) == calibration_error(legible)
    assert calibrate(both, both).temperature == calibrate(legible, legible).temperature


def test_a_threshold_counts_the_next_crop_as_an_error() -> None:
    """19 predictions are correct, the next is not: with 19 accepted the risk is 1/20, and 5 % is allowed."""
    confidences = [0.99 - 0.01 * i for i in range(30)]
    found = predictions(confidences, [i != 19 for i in range(30)])
    chosen = threshold(found, found, 0.95)
    assert chosen.confidence == pytest.approx((confidences[18] + confidences[19]) / 2)
    assert chosen.val_coverage == chosen.test_coverage == pytest.approx(19 / 30)
    assert chosen.test_precision == 1
    assert threshold(found, found, 0.96).confidence is None
    # The most confident prediction is incorrect, but 40 predictions with one error have a risk of 2/41.
    found = predictions([0.99 - 0.01 * i for i in range(40)], [i > 0 for i in range(40)])
    chosen = threshold(found, found, 0.95)
    assert chosen.confidence is not None
    assert (chosen.val_coverage, chosen.test_precision) == pytest.approx((1, 39 / 40))


def test_equal_confidences_are_accepted_together_and_illegible_crops_count_as_errors() -> None:
    """Thirty predictions at 0.9 are correct; of thirty at 0.8, the first twenty alone would be accepted."""
    found = predictions([0.9] * 30 + [0.8] * 30, [True] * 50 + [False] * 10)
    chosen = threshold(found, found, 0.95)
    assert (chosen.confidence, chosen.val_coverage) == pytest.approx((0.85, 0.5))
    legible = [0.99 - 0.001 * i for i in range(40)]
    assert threshold(predictions(legible, [True] * 40), found, 0.95).val_coverage == 1
    beside = predictions([*legible, 0.995, 0.995], [], labels=[0] * 40 + [-1, -1])
    assert threshold(beside, beside, 0.95).confidence is None
    chosen = threshold(beside, beside, 0.9)
    assert (chosen.val_coverage, chosen.test_precision) == pytest.approx((1, 40 / 42))
    few = predictions([0.99, 0.9, 0.8], [], labels=[-1, 0, 0])
    coverage_N, precision_N = coverage_and_precision(few)
    assert coverage_N.tolist() == [0, 0.5, 1]
    assert precision_N.tolist() == pytest.approx([0, 1 / 2, 2 / 3])
    assert len(reliability_bins(few).accuracy_B) == 2


def test_the_target_precision_holds_on_new_crops() -> None:
    """The mean over sixty pairs of splits is checked; without the assumed error it would be too low."""
    precisions = []
    for seed in range(60):
        val, test = (simulated(150, temperature=1.0, seed=1000 * part + seed) for part in (0, 1))
        chosen = threshold(val, test, 0.95)
        if chosen.test_precision is not None:
            precisions.append(chosen.test_precision)
    assert len(precisions) > 40
    assert np.mean(precisions) > 0.945


def test_calibration_is_fitted_on_val_and_evaluated_on_test() -> None:
    val, test = (simulated(3000, temperature=2.0, seed=seed) for seed in (0, 1))
    found = calibrate(val, test)
    assert found.crops == 3000
    assert found.before == calibration_error(test)
    assert found.after == calibration_error(test.at(found.temperature))
    assert found.after.value < found.before.value / 2
    assert [each.precision for each in found.thresholds] == [0.95, 0.98, 0.99]


def test_reliability_bins_by_hand() -> None:
    """Thirty crops are two per bin, of which the less confident one is incorrect."""
    bins = reliability_bins(predictions([0.51 + 0.016 * i for i in range(30)], [i % 2 == 1 for i in range(30)]))
    np.testing.assert_allclose(bins.confidence_B, [0.518 + 0.032 * i for i in range(BINS)])
    assert (bins.accuracy_B == 0.5).all()
    assert (bins.low_B < 0.5).all()
    assert (bins.high_B > 0.5).all()


@pytest.mark.parametrize(("correct", "crops"), [(0, 1), (1, 1), (0, 30), (343, 360), (360, 360), (1, 360)])
def test_the_interval_equals_scipys(correct: int, crops: int) -> None:
    reference = binomtest(correct, crops).proportion_ci(method="wilson")
    assert wilson_interval(correct, crops) == pytest.approx((reference.low, reference.high), abs=1e-4)
