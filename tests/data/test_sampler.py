"""Class weights agree with computed examples; the sampler is balanced, random and reproducible.

Shapes: N crops, K classes.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jersey.core.labels import ILLEGIBLE_INDEX
from jersey.data.sampler import BalancedSampler, class_balance, class_weights, imbalance_summary

COUNTS_K = [257, 50, 10, 4]  # as long-tailed as the public data set
CLASSES_N = np.repeat(np.arange(4), COUNTS_K)

counts_of_classes = st.lists(st.integers(0, 60), min_size=1, max_size=12).filter(any)
powers = st.floats(0, 1)
seeds = st.integers(0, 2**32)


def sampler(*, power: float, seed: int = 0) -> BalancedSampler:
    return BalancedSampler(CLASSES_N.tolist(), power=power, seed=seed)


def test_weights_agree_with_a_computed_example() -> None:
    """For counts 1 and 4 and power 1 the weights have the ratio 4 to 1, and a mean of 1 over the five crops."""
    torch.testing.assert_close(class_weights([1, 4], power=1.0), torch.tensor([5 / 2, 5 / 8]))
    torch.testing.assert_close(class_weights([1, 4], power=0.5), torch.tensor([5 / 3, 5 / 6]))
    assert class_weights([1, 4], power=0.0).tolist() == [1.0, 1.0]
    assert class_weights([3, 3], power=0.5).dtype == torch.float32


@given(counts_K=counts_of_classes, power=powers)
def test_weights_have_mean_one_over_the_crops_and_zero_for_an_empty_class(counts_K: list[int], power: float) -> None:
    weights_K = class_weights(counts_K, power=power).double().numpy()
    counts = np.array(counts_K)
    assert (weights_K * counts).sum() / counts.sum() == pytest.approx(1, rel=1e-5)
    np.testing.assert_array_equal(weights_K == 0, counts == 0)
    present = counts > 0
    relative = weights_K[present] * counts[present] ** power
    np.testing.assert_allclose(relative, relative[0], rtol=1e-5)


@given(counts_K=counts_of_classes, power=powers, seed=seeds, epoch=st.integers(0, 1000))
def test_crops_and_classes_are_sampled_floor_or_ceil_of_their_expectation(
    counts_K: list[int], power: float, seed: int, epoch: int
) -> None:
    classes_N = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts_K)), counts_K))
    balanced = BalancedSampler(classes_N.tolist(), power=power, seed=seed)
    sample_N = balanced.epoch_indices(epoch)
    assert sample_N.shape == classes_N.shape

    counts = np.array(counts_K, dtype=float)
    expected_K = np.where(counts > 0, np.maximum(counts, 1) ** (1 - power), 0)
    expected_K *= len(classes_N) / expected_K.sum()
    expected_N = (expected_K / np.maximum(counts, 1))[classes_N]
    for times, expected in (
        (np.bincount(sample_N, minlength=len(classes_N)), expected_N),
        (balanced.sampled_counts(epoch, num_classes=len(counts_K)), expected_K),
    ):
        assert (times >= np.floor(expected - 1e-9)).all()
        assert (times <= np.ceil(expected + 1e-9)).all()


def test_expected_counts_are_the_mean_of_the_sampled_ones() -> None:
    """Over 400 epochs; an epoch's count is the floor or the ceiling, a standard deviation of at most half a crop."""
    balanced = sampler(power=0.6)
    expected_K = balanced.expected_counts(num_classes=5)
    counted_K = np.mean([balanced.sampled_counts(epoch, num_classes=5) for epoch in range(400)], axis=0)
    np.testing.assert_allclose(counted_K, expected_K, atol=5 * 0.5 / np.sqrt(400))
    assert expected_K[4] == 0
    assert expected_K.sum() == pytest.approx(len(CLASSES_N))


def test_on_average_every_crop_of_a_class_is_sampled_equally_often() -> None:
    """Over 400 epochs, within the binomial deviation of a crop that is sampled floor or ceil times."""
    epochs = 400
    balanced = sampler(power=1.0)
    times_N = sum(np.bincount(balanced.epoch_indices(epoch), minlength=len(CLASSES_N)) for epoch in range(epochs))
    expected_N = (len(CLASSES_N) / 4 / np.array(COUNTS_K))[CLASSES_N]
    part_N = expected_N % 1
    deviations_N = (times_N - epochs * expected_N) / np.sqrt(epochs * part_N * (1 - part_N))
    assert np.abs(deviations_N).max() < 5


def test_the_choice_of_crops_of_a_frequent_class_is_random() -> None:
    """Not every third crop is taken: neighbors in file order are sampled together about as often as by chance."""
    sample_N = sampler(power=1.0).epoch_indices(0)
    gaps = np.diff(np.sort(sample_N[sample_N < COUNTS_K[0]]))
    assert (gaps == 1).mean() == pytest.approx(321 / 4 / COUNTS_K[0], abs=0.2)
    assert gaps.max() > 5


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    balanced = sampler(power=0.5)
    first = balanced.epoch_indices(0).tolist()
    assert first == balanced.epoch_indices(0).tolist() == sampler(power=0.5).epoch_indices(0).tolist() == list(balanced)
    assert first != sampler(power=0.5, seed=1).epoch_indices(0).tolist()
    balanced.set_epoch(3)
    assert first != list(balanced) == list(balanced) == balanced.epoch_indices(3).tolist()
    assert len(balanced) == len(first) == len(CLASSES_N)


def test_the_order_is_mixed() -> None:
    """Neither class nor file order shows in it: neighbors correlate no more than by chance, about 1 / sqrt(321)."""
    sample_N = sampler(power=1.0).epoch_indices(0)
    for values_N in (CLASSES_N[sample_N].astype(float), sample_N.astype(float)):
        assert abs(np.corrcoef(values_N[:-1], values_N[1:])[0, 1]) < 5 / np.sqrt(len(values_N))
        assert abs(np.corrcoef(values_N, np.arange(len(values_N)))[0, 1]) < 5 / np.sqrt(len(values_N))


def test_overfit_indices_are_the_first_of_epoch_zero_in_every_batch_of_every_epoch() -> None:
    labels_N, power = [0] * 12 + [1] * 4 + [2] * 2, 0.5
    first = BalancedSampler(labels_N, power=power, seed=3).epoch_indices(0)[:6].tolist()
    sampler = BalancedSampler(labels_N, power=power, seed=3, overfit_indices=6)
    for epoch in (0, 5):
        sampler.set_epoch(epoch)
        assert list(sampler) == first * 3
    counts = [3 * sum(labels_N[i] == k for i in first) for k in range(3)]
    assert sampler.sampled_counts(1, num_classes=3).tolist() == counts


@given(counts_K=counts_of_classes, illegible=st.integers(1, 60), power=powers, seed=seeds)
def test_illegible_crops_are_sampled_as_one_additional_class(
    counts_K: list[int], illegible: int, power: float, seed: int
) -> None:
    labeled_N = np.repeat(np.arange(len(counts_K)), counts_K)
    classes = len(counts_K) + 1
    with_class = BalancedSampler([*labeled_N, *[classes - 1] * illegible], power=power, seed=seed)
    without = BalancedSampler([*labeled_N, *[ILLEGIBLE_INDEX] * illegible], power=power, seed=seed)
    expected_K = with_class.expected_counts(num_classes=classes)
    np.testing.assert_allclose(without.expected_counts(num_classes=classes - 1), expected_K[:-1])
    assert without.expected_N.sum() == pytest.approx(len(without))
    sample_N = without.epoch_indices(3)
    assert len(sample_N) == len(without)
    illegible_count = (sample_N >= len(labeled_N)).sum()
    assert abs(illegible_count - expected_K[-1]) < 1 + 1e-9
    assert without.sampled_counts(3, num_classes=classes - 1).sum() == len(sample_N) - illegible_count


def test_the_balance_combines_sampler_loss_weights_and_adjustment() -> None:
    """With power 1 both classes are equally probable, and the weights 1 and 3 give the rare one 3/4 of the loss."""
    balanced = BalancedSampler([0] * 8 + [1] * 2, power=1.0, seed=0)
    classes = class_balance({"7": 8, "23": 2}, balanced, torch.tensor([1.0, 3.0]), torch.tensor([-0.5, -1.5]))
    assert {name: (each.probability, each.loss_fraction, each.adjustment) for name, each in classes.items()} == {
        "7": pytest.approx((0.5, 0.25, 0)),
        "23": pytest.approx((0.5, 0.75, -1)),
    }
    assert (
        imbalance_summary(classes) == "7 (most frequent) has 4 times the crops and 0.333 times the loss of 23 (rarest)"
    )
