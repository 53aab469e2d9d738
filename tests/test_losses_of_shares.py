"""Losses of mixed crops: the mixture of what each label alone would cost.

Shapes: B batch, K classes.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from jersey.losses import CrossEntropy, FocalLoss

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
    return F.one_hot(labels_B, 4).float()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_mixture_costs_the_mixture_of_the_costs(logits_BK: Tensor, loss: CrossEntropy, share: float) -> None:
    shares_BK = share * one_hot(LABELS_B) + (1 - share) * one_hot(OTHERS_B)
    apart = share * loss(logits_BK, LABELS_B, WEIGHTS_K) + (1 - share) * loss(logits_BK, OTHERS_B, WEIGHTS_K)
    torch.testing.assert_close(loss(logits_BK, shares_BK, WEIGHTS_K), apart)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_without_weights_it_is_torchs(logits_BK: Tensor, smoothing: float) -> None:
    shares_BK = 0.7 * one_hot(LABELS_B) + 0.3 * one_hot(OTHERS_B)
    loss = CrossEntropy(label_smoothing=smoothing)(logits_BK, shares_BK, torch.ones(4))
    torch.testing.assert_close(loss, F.cross_entropy(logits_BK, shares_BK, label_smoothing=smoothing))


def test_by_hand() -> None:
    """Probabilities (3/4, 1/4), seven tenths of the first label, weights 2 and 0.5, smoothing 0.2, focus 2."""
    logits_BK, shares_BK = torch.log(torch.tensor([[3.0, 1.0]])), torch.tensor([[0.7, 0.3]])
    smooth = (-math.log(3 / 4) - math.log(1 / 4)) / 2
    first = 2.0 * (0.8 * (1 / 4) ** 2 * -math.log(3 / 4) + 0.2 * smooth)
    second = 0.5 * (0.8 * (3 / 4) ** 2 * -math.log(1 / 4) + 0.2 * smooth)
    loss = FocalLoss(gamma=2.0, label_smoothing=0.2)(logits_BK, shares_BK, torch.tensor([2.0, 0.5]))
    assert loss.item() == pytest.approx(0.7 * first + 0.3 * second, rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [1e2, 65504.0, 1e30])
def test_gradients_are_finite_at_extreme_logits(loss: CrossEntropy, size: float) -> None:
    """Sure and right, sure and wrong, and undecided."""
    for targets in (torch.tensor([0, 1, 0]), torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0.5, 0.5, 0]])):
        logits_BK = torch.tensor([[size, 0, -size], [size, 0, -size], [size, size, 0]], requires_grad=True)
        value = loss(logits_BK, targets, torch.tensor([2.0, 1.0, 0.0]))
        value.backward()
        assert value.isfinite()
        assert logits_BK.grad is not None
        assert logits_BK.grad.isfinite().all()
