"""Losses of labels and mixtures, compared with torch, with formulas, and where they differ from torch on purpose.

Shapes: B batch, K classes, J = K + 1.
"""

import math
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE_INDEX
from jersey.training.losses import CrossEntropy, FocalLoss, LogitAdjustedLoss

LABELS_B, OTHERS_B = torch.tensor([0, 3, 3, 1, 2, 0]), torch.tensor([1, 3, 0, 2, 0, 3])
NONE_B = torch.full((6,), ILLEGIBLE_INDEX)
WEIGHTS_K = torch.tensor([4.0, 1.0, 0.5, 0.1])
COUNTS_K = (5, 0, 40, 300)


def adjusted(counts_K: Sequence[int] = COUNTS_K, *, tau: float = 1.0, label_smoothing: float = 0.0) -> CrossEntropy:
    loss = LogitAdjustedLoss(tau=tau, label_smoothing=label_smoothing)
    loss.set_class_counts(counts_K)
    return loss


each_loss = pytest.mark.parametrize(
    "loss",
    [
        CrossEntropy(),
        CrossEntropy(label_smoothing=0.2),
        FocalLoss(gamma=0.5, label_smoothing=0.1),
        adjusted(tau=0.7, label_smoothing=0.1),
    ],
)


@pytest.fixture
def logits_BK() -> Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()


def one_hot(labels_B: Tensor) -> Tensor:
    """Returns fractions, the last of which is that of no label."""
    return F.one_hot(labels_B.where(labels_B != ILLEGIBLE_INDEX, 4), 5).float()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_without_weights_the_loss_is_that_of_torch(logits_BK: Tensor, smoothing: float) -> None:
    loss, mixed_BJ = CrossEntropy(label_smoothing=smoothing), 0.7 * one_hot(LABELS_B) + 0.3 * one_hot(OTHERS_B)
    for ours, torchs in ((LABELS_B, LABELS_B), (mixed_BJ, mixed_BJ[:, :4])):
        expected = F.cross_entropy(logits_BK, torchs, label_smoothing=smoothing)
        torch.testing.assert_close(loss(logits_BK, ours, torch.ones(4)), expected)


@pytest.mark.parametrize(
    "invalid", [{"gamma": -1.0}, {"label_smoothing": 1.0}, {"label_smoothing": -0.1}, {"label_smoothing": float("nan")}]
)
def test_values_out_of_range_are_rejected(invalid: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(invalid))):
        FocalLoss(**invalid)


@pytest.mark.parametrize(("gamma", "smoothing"), [(0.0, 0.2), (3.0, 0.2), (2.0, 0.0)])
def test_loss_matches_its_formula(gamma: float, smoothing: float) -> None:
    """Two crops have probabilities (3/4, 1/4) and (1/5, 4/5), labels 0 and 1, weights 2 and 0.5; one is a mixture."""

    def cost(p: float, weight: float) -> float:
        smooth = (-math.log(p) - math.log(1 - p)) / 2
        return weight * ((1 - smoothing) * (1 - p) ** gamma * -math.log(p) + smoothing * smooth)

    logits_BK, weights_K = torch.log(torch.tensor([[3.0, 1.0], [1.0, 4.0]])), torch.tensor([2.0, 0.5])
    losses = [FocalLoss(gamma=gamma, label_smoothing=smoothing)]
    # The focal loss with gamma 0 is cross entropy.
    losses += [CrossEntropy(label_smoothing=smoothing)] if gamma == 0 else []
    for loss in losses:
        hard = loss(logits_BK, torch.tensor([0, 1]), weights_K).item()
        assert hard == pytest.approx((cost(3 / 4, 2.0) + cost(4 / 5, 0.5)) / 2, rel=1e-6)
        mixed = loss(logits_BK[:1], torch.tensor([[0.7, 0.3, 0.0]]), weights_K).item()
        assert mixed == pytest.approx(0.7 * cost(3 / 4, 2.0) + 0.3 * cost(1 / 4, 0.5), rel=1e-6)


@each_loss
def test_weights_do_not_depend_on_the_rest_of_the_batch(logits_BK: Tensor, loss: CrossEntropy) -> None:
    """The loss of a batch is the mean of the losses of its crops, unlike torch's weighted mean."""
    targets_B = LABELS_B.where(torch.arange(6) != 4, ILLEGIBLE_INDEX)
    alone = [loss(logits_BK[i : i + 1], targets_B[i : i + 1], WEIGHTS_K) for i in range(6)]
    torch.testing.assert_close(loss(logits_BK, targets_B, WEIGHTS_K), torch.stack(alone).mean())
    torchs = F.cross_entropy(logits_BK, LABELS_B, weight=WEIGHTS_K, label_smoothing=loss.label_smoothing)
    assert not torch.isclose(loss(logits_BK, LABELS_B, WEIGHTS_K), torchs, rtol=0.01)


def test_smoothing_is_not_weighted_by_the_other_classes(logits_BK: Tensor) -> None:
    """Only the weight of the crop's own class is used, unlike in torch's smoothing term."""
    loss, labels_B = CrossEntropy(label_smoothing=0.3), torch.zeros(6, dtype=torch.int64)
    low, high = (loss(logits_BK, labels_B, torch.tensor([2.0, w, w, w])) for w in (0.01, 100.0))
    torch.testing.assert_close(low, high)


def test_smoothing_still_penalizes_certainty() -> None:
    """With two classes the best probability is inside (0, 1); with a focused smoothing term it would be 1."""
    loss = FocalLoss(gamma=2.0, label_smoothing=0.1)
    costs = [loss(torch.tensor([[x, 0.0]]), torch.tensor([0]), torch.ones(2)).item() for x in range(40)]
    assert 0 < costs.index(min(costs)) < 10


def test_gradient_matches_its_formula(logits_BK: Tensor) -> None:
    """The gradient is w[y] * (p - target) / B, with the smoothed target."""
    CrossEntropy(label_smoothing=0.2)(logits_BK, LABELS_B, WEIGHTS_K).backward()
    targets_BK = 0.8 * F.one_hot(LABELS_B, 4) + 0.2 / 4
    expected_BK = WEIGHTS_K[LABELS_B, None] * (logits_BK.detach().softmax(dim=1) - targets_BK) / 6
    torch.testing.assert_close(logits_BK.grad, expected_BK)


def test_focal_gradient_matches_finite_differences(logits_BK: Tensor) -> None:
    loss, step = FocalLoss(gamma=1.5, label_smoothing=0.1), 1e-2
    (gradient_BK,) = torch.autograd.grad(loss(logits_BK, LABELS_B, WEIGHTS_K), logits_BK)
    for row, column in ((0, 0), (1, 3), (4, 1)):
        moved = torch.zeros(6, 4)
        moved[row, column] = step
        above, below = (loss(logits_BK + sign * moved, LABELS_B, WEIGHTS_K).item() for sign in (1, -1))
        assert gradient_BK[row, column].item() == pytest.approx((above - below) / (2 * step), rel=0.02, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_loss_of_half_precision_logits_is_in_full_precision(dtype: torch.dtype) -> None:
    """Differences of 300 would overflow exp in fp16, and bf16 would round the loss to 8 bits."""
    logits_BK = torch.tensor([[300.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]], dtype=dtype)
    loss = CrossEntropy()(logits_BK, torch.tensor([1, 1]), torch.ones(4))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx((300 + math.log(math.e + 3) - 1) / 2, rel=1e-6)


@each_loss
@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("others_B", [OTHERS_B, NONE_B], ids=["label", "none"])
def test_loss_of_a_mixture_is_the_mixture_of_losses(
    logits_BK: Tensor, loss: CrossEntropy, fraction: float, others_B: Tensor
) -> None:
    mixed_BJ = fraction * one_hot(LABELS_B) + (1 - fraction) * one_hot(others_B)
    first, second = (loss(logits_BK, labels_B, WEIGHTS_K) for labels_B in (LABELS_B, others_B))
    torch.testing.assert_close(loss(logits_BK, mixed_BJ, WEIGHTS_K), fraction * first + (1 - fraction) * second)


@each_loss
@pytest.mark.parametrize("size", [1e2, 65504.0, 1e30])
def test_gradients_are_finite_at_extreme_logits(loss: CrossEntropy, size: float) -> None:
    """The logits are confident and correct, confident and incorrect, and undecided, for a label and for none."""
    mixed_BJ = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0.5, 0.5, 0, 0]])
    mixed_BJ = F.pad(mixed_BJ, (0, 1))
    for targets in (torch.tensor([0, 1, 0]), NONE_B[:3], mixed_BJ, mixed_BJ.flip(1)):
        logits_BK = torch.tensor([[size, 0, -size, 0], [size, 0, -size, 0], [size, size, 0, 0]], requires_grad=True)
        value = loss(logits_BK, targets, torch.tensor([2.0, 1.0, 0.0, 1.0]))
        assert value.isfinite()
        assert torch.autograd.grad(value, logits_BK)[0].isfinite().all()


@each_loss
def test_loss_of_an_illegible_crop_is_the_mean_over_all_labels_without_class_weights(
    logits_BK: Tensor, loss: CrossEntropy
) -> None:
    """The loss is minimal for equal probabilities, also those of adjusted logits."""
    each_K = torch.stack([loss(logits_BK, torch.full((6,), label), torch.ones(4)) for label in range(4)])
    prior_K = torch.tensor([5.0, 1.0, 40.0, 300.0]) ** (0.7 if isinstance(loss, LogitAdjustedLoss) else 0.0)
    expected = (each_K * prior_K / prior_K.sum()).sum()
    torch.testing.assert_close(loss(logits_BK, NONE_B, WEIGHTS_K), expected)
    equal_BK = torch.full((6, 4), 3.0, requires_grad=True)
    minimum = loss(equal_BK, NONE_B, WEIGHTS_K)
    (gradient_BK,) = torch.autograd.grad(minimum, equal_BK)
    torch.testing.assert_close(gradient_BK, torch.zeros(6, 4), atol=1e-7, rtol=0)
    assert loss(logits_BK, NONE_B, WEIGHTS_K) > minimum


@pytest.mark.parametrize("tau", [float("nan"), float("inf"), -0.1])
def test_an_exponent_out_of_range_is_rejected(tau: float) -> None:
    with pytest.raises(UserError, match="tau"):
        LogitAdjustedLoss(tau=tau)


def test_balanced_softmax_matches_its_formula() -> None:
    """Equation 3 of https://arxiv.org/abs/2007.10740 for scores exp(z) of 3 and 1, and 1 and 6 crops."""
    logits_1K, weights_K = torch.log(torch.tensor([[3.0, 1.0]])), torch.tensor([2.0, 0.5])
    for label, p in ((0, 3 / 9), (1, 6 / 9)):
        loss = adjusted((1, 6))(logits_1K, torch.tensor([label]), weights_K).item()
        assert loss == pytest.approx(weights_K[label].item() * -math.log(p), rel=1e-6)
    mixed = adjusted((1, 6))(logits_1K, torch.tensor([[0.7, 0.3, 0.0]]), weights_K).item()
    assert mixed == pytest.approx(0.7 * 2 * -math.log(3 / 9) + 0.3 * 0.5 * -math.log(6 / 9), rel=1e-6)
    smoothed = adjusted((1, 6), label_smoothing=0.1)(logits_1K, torch.tensor([0]), torch.ones(2)).item()
    mean = 1 / 7 * -math.log(3 / 9) + 6 / 7 * -math.log(6 / 9)
    assert smoothed == pytest.approx(0.9 * -math.log(3 / 9) + 0.1 * mean, rel=1e-6)


@pytest.mark.parametrize("tau", [0.5, 1.0, 1.5])
def test_logit_adjustment_matches_its_formula(logits_BK: Tensor, tau: float) -> None:
    """The pairwise margins of equation 10 of https://arxiv.org/abs/2007.07314; an absent class has one crop."""
    counts = (5, 1, 40, 300)
    expected = 0.0
    for logits_K, label in zip(logits_BK.tolist(), LABELS_B.tolist(), strict=True):
        others = [k for k in range(4) if k != label]
        margins = [(counts[k] / counts[label]) ** tau * math.exp(logits_K[k] - logits_K[label]) for k in others]
        expected += math.log(1 + sum(margins)) / len(LABELS_B)
    assert adjusted(tau=tau)(logits_BK, LABELS_B, torch.ones(4)).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("targets", [LABELS_B, NONE_B, 0.7 * one_hot(LABELS_B) + 0.3 * one_hot(NONE_B)])
def test_only_ratios_of_counts_matter(logits_BK: Tensor, targets: Tensor) -> None:
    counts, plain = (5, 1, 40, 300), CrossEntropy(label_smoothing=0.1)
    loss = adjusted(counts, label_smoothing=0.1)(logits_BK, targets, WEIGHTS_K)
    scaled = adjusted([7 * count for count in counts], label_smoothing=0.1)(logits_BK, targets, WEIGHTS_K)
    torch.testing.assert_close(scaled, loss)
    assert not torch.isclose(loss, plain(logits_BK, targets, WEIGHTS_K), rtol=0.01)
    for same in (adjusted((9,) * 4, label_smoothing=0.1), adjusted(counts, tau=0, label_smoothing=0.1)):
        torch.testing.assert_close(same(logits_BK, targets, WEIGHTS_K), plain(logits_BK, targets, WEIGHTS_K))


def test_minimum_has_the_probabilities_of_equally_frequent_classes() -> None:
    """30 of 300 crops of a class and 5 of 10 of another look alike: among equally many of both, 1 to 5 would."""
    labels_B = torch.tensor([0] * 30 + [1] * 5)
    logits_1K = torch.log(torch.tensor([[1 / 6, 5 / 6]])).requires_grad_()
    value = adjusted((300, 10))(logits_1K.expand(35, 2), labels_B, torch.ones(2))
    (gradient_1K,) = torch.autograd.grad(value, logits_1K)
    torch.testing.assert_close(gradient_1K, torch.zeros(1, 2), atol=1e-6, rtol=0)
