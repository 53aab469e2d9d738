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


def test_the_smoothed_part_is_least_for_the_prior_and_for_equal_logits_only_in_two_of_them() -> None:
    """Of equal logits, a step along the gradient of the smoothed part alone changes nothing."""
    plain, half = (list(map(_gradient_at_equal_logits, losses(smoothing).values())) for smoothing in (0.0, 0.5))
    smoothed = [2 * half_NK - plain_NK for plain_NK, half_NK in zip(plain, half, strict=True)]
    still = [bool(gradient_NK.abs().max() < 1e-6) for gradient_NK in smoothed]
    assert still == [True, False, True]


def _gradient_at_equal_logits(loss: Loss) -> Tensor:
    logits_NK = torch.zeros_like(LOGITS_NK, requires_grad=True)
    (gradient_NK,) = torch.autograd.grad(loss(logits_NK, LABELS_N), logits_NK)
    return gradient_NK


def test_training_is_repeatable_and_better_than_chance(capsys: pytest.CaptureFixture[str]) -> None:
    first, again = (accuracies(losses(0.1)["the prior"], seed=1, steps=20, noise=1.0) for _ in range(2))
    assert first == again
    assert first[0] > 10 / len(TRAIN_COUNTS)
    assert len(measure(seeds=1, steps=2)) == 3
    assert "smoothed toward" in capsys.readouterr().out
