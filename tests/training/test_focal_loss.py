"""The focal loss by hand, and where it is cross entropy.

Shapes: B batch, K classes.
"""

import math

import pytest
import torch
from torch import Tensor

from jersey.core.errors import UserError
from jersey.training.losses import CrossEntropy, FocalLoss

LABELS_B = torch.tensor([0, 3, 3, 1, 2, 0])
WEIGHTS_K = torch.tensor([4.0, 1.0, 0.5, 0.1])


def logits(requires_grad: bool = False) -> Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).requires_grad_(requires_grad)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_without_focus_it_is_cross_entropy_bit_for_bit(smoothing: float) -> None:
    values, gradients = [], []
    for loss in (CrossEntropy(label_smoothing=smoothing), FocalLoss(gamma=0.0, label_smoothing=smoothing)):
        logits_BK = logits(requires_grad=True)
        values.append(loss(logits_BK, LABELS_B, WEIGHTS_K))
        values[-1].backward()
        gradients.append(logits_BK.grad)
    assert torch.equal(*values)
    assert torch.equal(*gradients)  # type: ignore[arg-type]


def test_by_hand() -> None:
    """Two classes with probabilities (3/4, 1/4) and (1/5, 4/5), labels 0 and 0, weights 2, smoothing 0.2."""
    logits_BK = torch.log(torch.tensor([[3.0, 1.0], [1.0, 4.0]]))
    sure = 0.8 * (1 / 4) ** 3 * -math.log(3 / 4) + 0.2 * (-math.log(3 / 4) - math.log(1 / 4)) / 2
    unsure = 0.8 * (4 / 5) ** 3 * -math.log(1 / 5) + 0.2 * (-math.log(1 / 5) - math.log(4 / 5)) / 2
    loss = FocalLoss(gamma=3.0, label_smoothing=0.2)(logits_BK, torch.tensor([0, 0]), torch.tensor([2.0, 0.5]))
    assert loss.item() == pytest.approx(2 * (sure + unsure) / 2, rel=1e-6)


def test_without_smoothing_by_hand() -> None:
    loss = FocalLoss(gamma=2.0)(torch.log(torch.tensor([[3.0, 1.0]])), torch.tensor([1]), torch.ones(2))
    assert loss.item() == pytest.approx((3 / 4) ** 2 * -math.log(1 / 4), rel=1e-6)


def test_the_focus_is_on_the_probability_and_not_on_the_weighted_loss() -> None:
    """Twice the weight is twice the loss; were p computed back from the loss, it would change too."""
    loss = FocalLoss(gamma=2.0, label_smoothing=0.1)
    once, twice = (loss(logits(), LABELS_B, factor * WEIGHTS_K) for factor in (1, 2))
    torch.testing.assert_close(twice, 2 * once)


def test_smoothing_still_forbids_certainty() -> None:
    """Of two classes the cheapest probability lies inside (0, 1): were smoothing focused too, it would be 1."""
    loss = FocalLoss(gamma=2.0, label_smoothing=0.1)
    costs = [loss(torch.tensor([[x, 0.0]]), torch.tensor([0]), torch.ones(2)).item() for x in range(40)]
    assert 0 < costs.index(min(costs)) < 10


def test_gradient_against_finite_differences() -> None:
    loss = FocalLoss(gamma=1.5, label_smoothing=0.1)
    logits_BK = logits(requires_grad=True)
    loss(logits_BK, LABELS_B, WEIGHTS_K).backward()
    step = 1e-2
    for row, column in ((0, 0), (1, 3), (4, 1)):
        moved = torch.zeros(6, 4)
        moved[row, column] = step
        above, below = (loss(logits() + sign * moved, LABELS_B, WEIGHTS_K).item() for sign in (1, -1))
        assert logits_BK.grad is not None
        assert logits_BK.grad[row, column].item() == pytest.approx((above - below) / (2 * step), rel=0.02, abs=1e-4)


@pytest.mark.parametrize("wrong", [{"gamma": -1.0}, {"label_smoothing": 1.0}, {"label_smoothing": -0.1}])
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        FocalLoss(**wrong)
