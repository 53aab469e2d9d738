"""The toy long tail of the smoothed losses: what the three have in common, and a short run of the command."""

import pytest
import torch
from torch import Tensor

from jersey.bench.adjusted_smoothing import Loss, accuracies, losses, measure
from jersey.synth.benchmark import TRAIN_COUNTS

LOGITS_NK = torch.randn(8, len(TRAIN_COUNTS), generator=torch.Generator().manual_seed(0))
LABELS_N = torch.arange(8)


def test_the_losses_are_equal_without_smoothing_and_differ_with_it() -> None:
    plain, smoothed = ([float(loss(LOGITS_NK, LABELS_N)) for loss in losses(e).values()] for e in (0.0, 0.3))
    assert plain == pytest.approx([plain[0]] * 3, rel=1e-5)
    assert len({round(value, 3) for value in smoothed}) == 3


def gradient(loss: Loss) -> Tensor:
    """Returns the gradient at logits that are all equal."""
    logits_NK = torch.zeros_like(LOGITS_NK, requires_grad=True)
    loss(logits_NK, LABELS_N).backward()
    assert logits_NK.grad is not None
    return logits_NK.grad


def test_the_smoothed_part_alone_keeps_equal_logits_in_two_of_three() -> None:
    """The gradient of the smoothed part is what that of the whole loss has beside half of that without smoothing."""
    pairs = zip(losses(0.0).values(), losses(0.5).values(), strict=True)
    still = [bool((gradient(half) - 0.5 * gradient(plain)).abs().max() < 1e-6) for plain, half in pairs]
    assert still == [True, False, True]


def test_training_is_repeatable_and_better_than_chance(capsys: pytest.CaptureFixture[str]) -> None:
    first, again = (accuracies(losses(0.1)["the prior"], seed=1, steps=20, noise=1.0) for _ in range(2))
    assert first == again
    assert first[0] > 10 / len(TRAIN_COUNTS)
    assert len(measure(seeds=1, steps=2)) == 3
    assert "smoothed toward" in capsys.readouterr().out
