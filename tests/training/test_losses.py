"""The loss by hand, and where it agrees with torch's and where it is meant to differ.

Shapes: B batch, K classes.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from jersey.core.errors import UserError
from jersey.training.losses import CrossEntropy


@pytest.fixture
def logits_BK() -> Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


LABELS_B = torch.tensor([0, 3, 3, 1, 2, 0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_without_weights_it_is_torchs(logits_BK: Tensor, smoothing: float) -> None:
    loss = CrossEntropy(label_smoothing=smoothing)(logits_BK, LABELS_B, torch.ones(4))
    torch.testing.assert_close(loss, F.cross_entropy(logits_BK, LABELS_B, label_smoothing=smoothing))


@pytest.mark.parametrize("smoothing", [1.0, -0.1, float("nan")])
def test_smoothing_out_of_range_is_refused(smoothing: float) -> None:
    with pytest.raises(UserError, match="label_smoothing"):
        CrossEntropy(label_smoothing=smoothing)


def test_by_hand() -> None:
    """Two classes with probabilities (3/4, 1/4) and (1/5, 4/5), smoothing 0.2, weights 2 and 0.5."""
    logits_BK = torch.log(torch.tensor([[3.0, 1.0], [1.0, 4.0]]))
    first = 2.0 * (0.8 * -math.log(3 / 4) + 0.2 * (-math.log(3 / 4) - math.log(1 / 4)) / 2)
    second = 0.5 * (0.8 * -math.log(4 / 5) + 0.2 * (-math.log(1 / 5) - math.log(4 / 5)) / 2)
    loss = CrossEntropy(label_smoothing=0.2)(logits_BK, torch.tensor([0, 1]), torch.tensor([2.0, 0.5]))
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_weights_do_not_depend_on_the_rest_of_the_batch(logits_BK: Tensor) -> None:
    """The loss of a batch is the mean of the losses of its crops, which torch's weighted mean is not."""
    weights_K = torch.tensor([4.0, 1.0, 0.5, 0.1])
    loss = CrossEntropy(label_smoothing=0.1)
    alone = [loss(logits_BK[i : i + 1], LABELS_B[i : i + 1], weights_K) for i in range(6)]
    together = loss(logits_BK, LABELS_B, weights_K)
    torch.testing.assert_close(together, torch.stack(alone).mean())
    torchs = F.cross_entropy(logits_BK, LABELS_B, weight=weights_K, label_smoothing=0.1)
    assert not torch.isclose(together, torchs, rtol=0.01)


def test_weights_without_smoothing_are_torchs_up_to_the_divisor(logits_BK: Tensor) -> None:
    weights_K = torch.tensor([4.0, 1.0, 0.5, 0.1])
    torchs = F.cross_entropy(logits_BK, LABELS_B, weight=weights_K, reduction="sum") / 6
    torch.testing.assert_close(CrossEntropy()(logits_BK, LABELS_B, weights_K), torchs)


def test_smoothing_is_not_weighted_by_the_other_classes(logits_BK: Tensor) -> None:
    """Only the weight of the crop's own class counts, unlike in torch's smoothing term."""
    loss = CrossEntropy(label_smoothing=0.3)
    labels_B = torch.zeros(6, dtype=torch.int64)
    low, high = (loss(logits_BK, labels_B, torch.tensor([2.0, w, w, w])) for w in (0.01, 100.0))
    torch.testing.assert_close(low, high)


def test_gradient_by_hand(logits_BK: Tensor) -> None:
    """d loss / d logits = w[y] * (p - target) / B, the target being the smoothed one."""
    weights_K = torch.tensor([4.0, 1.0, 0.5, 0.1])
    logits_BK.requires_grad_()
    CrossEntropy(label_smoothing=0.2)(logits_BK, LABELS_B, weights_K).backward()
    targets_BK = 0.8 * F.one_hot(LABELS_B, 4) + 0.2 / 4
    expected_BK = weights_K[LABELS_B, None] * (logits_BK.detach().softmax(dim=1) - targets_BK) / 6
    torch.testing.assert_close(logits_BK.grad, expected_BK)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_scored_in_full_precision(dtype: torch.dtype) -> None:
    """Differences of 300 would overflow exp in fp16, and bf16 would round the loss to 8 bits."""
    logits_BK = torch.tensor([[300.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]], dtype=dtype)
    loss = CrossEntropy()(logits_BK, torch.tensor([1, 1]), torch.ones(4))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx((300 + math.log(math.e + 3) - 1) / 2, rel=1e-6)
