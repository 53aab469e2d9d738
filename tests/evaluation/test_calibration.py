"""Temperature, calibration error and thresholds, against simulated truth and counts by hand."""

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
    """Predictions of a network whose probabilities are right once its logits are divided by the temperature."""
    rng = np.random.default_rng(seed)
    scores_NK = rng.normal(0, 3, (crops, classes))
    labels_N = np.array([rng.choice(classes, p=row) for row in softmax(scores_NK, axis=1)])
    return Predictions((scores_NK * temperature).astype(np.float32), labels_N)


def answers(confidences: list[float], right: list[bool], labels: list[int] | None = None) -> Predictions:
    """Of two classes: the first is always answered, with these confidences."""
    logits_N2 = np.log([[confidence, 1 - confidence] for confidence in confidences])
    return Predictions(logits_N2, np.array(labels or [0 if is_right else 1 for is_right in right]))


def test_it_is_where_the_likelihood_is_highest() -> None:
    found = simulated(300, temperature=1.7)
    shares_NK = np.full((300, 5), 1 / 301 / 5)
    shares_NK[np.arange(300), found.labels_N] += 300 / 301

    def loss(temperature: float) -> float:
        return float(-(shares_NK * log_softmax(found.logits_NK.astype(float) / temperature, axis=1)).sum())

    best = minimize_scalar(loss, bounds=(0.1, 10), method="bounded", options={"xatol": 1e-9}).x
    assert fit_temperature(found.logits_NK, found.labels_N) == pytest.approx(best, rel=1e-4)


def test_where_all_is_right_nothing_becomes_certain() -> None:
    """The more crops, the surer."""
    confidence = []
    for crops in (10, 100, 1000):
        labels_N = np.arange(crops) % 4
        logits_NK = np.eye(4)[labels_N] * 5
        temperature = fit_temperature(logits_NK, labels_N)
        confidence.append(Predictions(logits_NK, labels_N, temperature).confidence_N[0])
    # One crop more, which is read right by chance in a quarter of the cases.
    assert confidence == pytest.approx([1 - 0.75 / (crops + 1) for crops in (10, 100, 1000)], abs=1e-6)


def test_the_error_of_a_crop_a_bin_is_the_mean_gap() -> None:
    confidences = [0.55 + 0.03 * i for i in range(15)]
    right = [i % 3 > 0 for i in range(15)]
    expected = np.mean([abs(c - r) for c, r in zip(confidences, right, strict=True)])
    assert calibration_error(answers(confidences, right)).value == pytest.approx(expected)
    # Thirty crops are two a bin, where gaps cancel: in each, one of 0.5 + x is right and one is wrong.
    confidences = [0.51 + 0.03 * (i // 2) for i in range(30)]
    found = calibration_error(answers(confidences, [i % 2 == 0 for i in range(30)]))
    assert found.value == pytest.approx(np.mean(confidences) - 0.5)
    assert np.isnan(expected_calibration_error(np.empty(0), np.empty(0, bool)))


def test_a_calibrated_network_has_the_error_of_chance_and_no_other() -> None:
    found = [calibration_error(simulated(2000, temperature=1.0, seed=seed)) for seed in range(5)]
    assert np.mean([each.value for each in found]) == pytest.approx(
        np.mean([each.expected_if_calibrated for each in found]), rel=0.2
    )
    too_sure = calibration_error(simulated(2000, temperature=3.0))
    assert too_sure.low > 3 * too_sure.expected_if_calibrated
    assert too_sure.low < too_sure.value < too_sure.high


def test_illegible_crops_have_no_calibration() -> None:
    legible = simulated(200, temperature=1.0)
    both = Predictions(np.concatenate([legible.logits_NK, np.eye(5) * 9]), np.append(legible.labels_N, [-1] * 5))
    assert calibration_error(both) == calibration_error(legible)
    assert calibrate(both, both).temperature == calibrate(legible, legible).temperature


def test_a_threshold_counts_the_next_crop_as_wrong() -> None:
    """19 right answers, the next wrong: with 19 answered the risk is 1/20, and 5 % is allowed."""
    confidences = [0.99 - 0.01 * i for i in range(30)]
    found = answers(confidences, [i != 19 for i in range(30)])
    chosen = threshold(found, found, 0.95)
    assert chosen.confidence == pytest.approx((confidences[18] + confidences[19]) / 2)
    assert chosen.val_coverage == chosen.test_coverage == pytest.approx(19 / 30)
    assert chosen.test_precision == 1
    assert threshold(found, found, 0.96).confidence is None
    # The surest is wrong, and later answers make good for it: 40 answers with one error have a risk of 2/41.
    found = answers([0.99 - 0.01 * i for i in range(40)], [i > 0 for i in range(40)])
    chosen = threshold(found, found, 0.95)
    assert chosen.confidence is not None
    assert (chosen.val_coverage, chosen.test_precision) == pytest.approx((1, 39 / 40))


def test_equal_confidences_are_answered_together_and_answers_to_illegible_crops_are_wrong() -> None:
    """Thirty of 0.9, all right; then thirty of 0.8, of which the first twenty alone would do."""
    found = answers([0.9] * 30 + [0.8] * 30, [True] * 50 + [False] * 10)
    chosen = threshold(found, found, 0.95)
    assert (chosen.confidence, chosen.val_coverage) == pytest.approx((0.85, 0.5))
    legible = [0.99 - 0.001 * i for i in range(40)]
    assert threshold(answers(legible, [True] * 40), found, 0.95).val_coverage == 1
    beside = answers([*legible, 0.995, 0.995], [], labels=[0] * 40 + [-1, -1])
    assert threshold(beside, beside, 0.95).confidence is None
    chosen = threshold(beside, beside, 0.9)
    assert (chosen.val_coverage, chosen.test_precision) == pytest.approx((1, 40 / 42))
    few = answers([0.99, 0.9, 0.8], [], labels=[-1, 0, 0])
    coverage_N, precision_N = coverage_and_precision(few)
    assert coverage_N.tolist() == [0, 0.5, 1]
    assert precision_N.tolist() == pytest.approx([0, 1 / 2, 2 / 3])
    assert len(reliability_bins(few).accuracy_B) == 2


def test_what_is_promised_is_kept_on_new_crops() -> None:
    """Mean over sixty pairs of splits; without the crop to come it would be missed."""
    kept = []
    for seed in range(60):
        val, test = (simulated(150, temperature=1.0, seed=1000 * part + seed) for part in (0, 1))
        chosen = threshold(val, test, 0.95)
        if chosen.test_precision is not None:
            kept.append(chosen.test_precision)
    assert len(kept) > 40
    assert np.mean(kept) > 0.945


def test_calibration_is_found_on_val_and_told_of_test() -> None:
    val, test = (simulated(3000, temperature=2.0, seed=seed) for seed in (0, 1))
    found = calibrate(val, test)
    assert found.crops == 3000
    assert found.before == calibration_error(test)
    assert found.after == calibration_error(test.at(found.temperature))
    assert found.after.value < found.before.value / 2
    assert [each.precision for each in found.thresholds] == [0.95, 0.98, 0.99]


def test_reliability_bins_are_counts() -> None:
    """Thirty crops, two a bin, in each the less confident one incorrect."""
    bins = reliability_bins(answers([0.51 + 0.016 * i for i in range(30)], [i % 2 == 1 for i in range(30)]))
    np.testing.assert_allclose(bins.confidence_B, [0.518 + 0.032 * i for i in range(BINS)])
    assert (bins.accuracy_B == 0.5).all()
    assert (bins.low_B < 0.5).all()
    assert (bins.high_B > 0.5).all()


@pytest.mark.parametrize(("right", "crops"), [(0, 1), (1, 1), (0, 30), (343, 360), (360, 360), (1, 360)])
def test_the_interval_is_scipys(right: int, crops: int) -> None:
    reference = binomtest(right, crops).proportion_ci(method="wilson")
    assert wilson_interval(right, crops) == pytest.approx((reference.low, reference.high), abs=1e-4)
