"""Losses of mixed crops: the mixture of what each label alone would cost.

Shapes: B batch, K classes, J = K + 1.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from jersey.core.labels import ILLEGIBLE_INDEX
from jersey.training.losses import CrossEntropy, FocalLoss

LABELS_B, OTHERS_B = torch.tensor([0, 3, 3, 1, 2, 0]), torch.tensor([1, 3, 0, 2, 0, 3])
WEIGHTS_K = torch.tensor([4.0, 1.0, 0.5, 0.1])
LOSSES = [
    CrossEntropy(),
    CrossEntropy(label_smoothing=0.2),
    FocalLoss(gamma=2.0),
    FocalLoss(gamma=0.5, label_smoothing=0.1),
]


@pytest.fixture
def logits_BK() -> Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


def one_hot(labels_B: Tensor) -> Tensor:
    """Shares; the last is that of no label."""
    return F.one_hot(labels_B, 5).float()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_mixture_costs_the_mixture_of_the_costs(logits_BK: Tensor, loss: CrossEntropy, share: float) -> None:
    shares_BJ = share * one_hot(LABELS_B) + (1 - share) * one_hot(OTHERS_B)
    apart = share * loss(logits_BK, LABELS_B, WEIGHTS_K) + (1 - share) * loss(logits_BK, OTHERS_B, WEIGHTS_K)
    torch.testing.assert_close(loss(logits_BK, shares_BJ, WEIGHTS_K), apart)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_without_weights_it_is_torchs(logits_BK: Tensor, smoothing: float) -> None:
    shares_BJ = 0.7 * one_hot(LABELS_B) + 0.3 * one_hot(OTHERS_B)
    loss = CrossEntropy(label_smoothing=smoothing)(logits_BK, shares_BJ, torch.ones(4))
    torch.testing.assert_close(loss, F.cross_entropy(logits_BK, shares_BJ[:, :4], label_smoothing=smoothing))


def test_by_hand() -> None:
    """Probabilities (3/4, 1/4), seven tenths of the first label, weights 2 and 0.5, smoothing 0.2, focus 2."""
    logits_BK, shares_BJ = torch.log(torch.tensor([[3.0, 1.0]])), torch.tensor([[0.7, 0.3, 0.0]])
    smooth = (-math.log(3 / 4) - math.log(1 / 4)) / 2
    first = 2.0 * (0.8 * (1 / 4) ** 2 * -math.log(3 / 4) + 0.2 * smooth)
    second = 0.5 * (0.8 * (3 / 4) ** 2 * -math.log(1 / 4) + 0.2 * smooth)
    loss = FocalLoss(gamma=2.0, label_smoothing=0.2)(logits_BK, shares_BJ, torch.tensor([2.0, 0.5]))
    assert loss.item() == pytest.approx(0.7 * first + 0.3 * second, rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [1e2, 65504.0, 1e30])
def test_gradients_are_finite_at_extreme_logits(loss: CrossEntropy, size: float) -> None:
    """Sure and right, sure and wrong, and undecided, of a label and of none."""
    shares_BJ = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0.5, 0.5, 0, 0]])
    for targets in (torch.tensor([0, 1, 0]), torch.full((3,), ILLEGIBLE_INDEX), shares_BJ, shares_BJ.flip(1)):
        logits_BK = torch.tensor([[size, 0, -size], [size, 0, -size], [size, size, 0]], requires_grad=True)
        value = loss(logits_BK, targets, torch.tensor([2.0, 1.0, 0.0]))
        value.backward()
        assert value.isfinite()
        assert logits_BK.grad is not None
        assert logits_BK.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_an_unreadable_crop_costs_the_mean_over_all_labels_without_weights(
    logits_BK: Tensor, loss: CrossEntropy
) -> None:
    unreadable_B, no_weights_K = torch.full((6,), ILLEGIBLE_INDEX), torch.ones(4)
    each = [loss(logits_BK, torch.full((6,), label), no_weights_K) for label in range(4)]
    torch.testing.assert_close(loss(logits_BK, unreadable_B, WEIGHTS_K), torch.stack(each).mean())
    only_none_BJ = F.one_hot(torch.full((6,), 4), 5).float()
    torch.testing.assert_close(loss(logits_BK, only_none_BJ, WEIGHTS_K), torch.stack(each).mean())


@pytest.mark.parametrize("loss", LOSSES)
def test_an_unreadable_crop_costs_least_where_all_labels_are_equal(loss: CrossEntropy) -> None:
    """Weights or not: the gradient there is zero."""
    logits_BK = torch.full((2, 4), 3.0, requires_grad=True)
    least = loss(logits_BK, torch.full((2,), ILLEGIBLE_INDEX), WEIGHTS_K)
    least.backward()
    assert logits_BK.grad is not None
    torch.testing.assert_close(logits_BK.grad, torch.zeros(2, 4), atol=1e-7, rtol=0)
    for seed in range(20):
        other_BK = logits_BK.detach() + torch.randn(2, 4, generator=torch.Generator().manual_seed(seed))
        assert loss(other_BK, torch.full((2,), ILLEGIBLE_INDEX), WEIGHTS_K) > least


@pytest.mark.parametrize("loss", LOSSES)
def test_a_crop_mixed_with_an_unreadable_one_costs_a_share_of_each(logits_BK: Tensor, loss: CrossEntropy) -> None:
    none_B = torch.full((6,), ILLEGIBLE_INDEX)
    shares_BJ = 0.3 * one_hot(LABELS_B) + 0.7 * one_hot(torch.full((6,), 4))
    apart = 0.3 * loss(logits_BK, LABELS_B, WEIGHTS_K) + 0.7 * loss(logits_BK, none_B, WEIGHTS_K)
    torch.testing.assert_close(loss(logits_BK, shares_BJ, WEIGHTS_K), apart)


@pytest.mark.parametrize("loss", LOSSES)
def test_readable_crops_cost_what_they_cost_without_unreadable_ones_beside_them(
    logits_BK: Tensor, loss: CrossEntropy
) -> None:
    targets_B = LABELS_B.clone()
    targets_B[[1, 4]] = ILLEGIBLE_INDEX
    readable = targets_B != ILLEGIBLE_INDEX
    together = 6 * loss(logits_BK, targets_B, WEIGHTS_K)
    apart = 4 * loss(logits_BK[readable], targets_B[readable], WEIGHTS_K)
    apart = apart + 2 * loss(logits_BK[~readable], targets_B[~readable], WEIGHTS_K)
    torch.testing.assert_close(together, apart)
