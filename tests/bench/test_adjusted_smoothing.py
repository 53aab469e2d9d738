"""The toy long tail of the smoothed losses: what the three have in common, and a short run of the command."""

import pytest
import torch

from jersey.bench.adjusted_smoothing import accuracies, losses, measure
from jersey.synth.benchmark import TRAIN_COUNTS

LOGITS_NK = torch.randn(8, len(TRAIN_COUNTS), generator=torch.Generator().manual_seed(0))
LABELS_N = torch.arange(8)


def test_the_losses_are_equal_without_smoothing_and_differ_with_it() -> None:
    plain, smoothed = ([float(loss(LOGITS_NK, LABELS_N)) for loss in losses(e).values()] for e in (0.0, 0.3))
    assert plain == pytest.approx([plain[0]] * 3, rel=1e-5)
    assert len({round(value, 3) for value in smoothed}) == 3


def test_the_smoothed_part_is_least_for_the_prior_and_for_equal_logits_only_in_two_of_them() -> None:
    """Of equal logits, a step along the gradient of the smoothed part alone changes nothing."""
    still = []
    for loss in losses(1.0).values():
        logits_NK = torch.zeros_like(LOGITS_NK, requires_grad=True)
        loss(logits_NK, LABELS_N).backward()
        assert logits_NK.grad is not None
        still.append(bool(logits_NK.grad.abs().max() < 1e-6))
    assert still == [True, False, True]


def test_training_is_repeatable_and_better_than_chance(capsys: pytest.CaptureFixture[str]) -> None:
    first, again = (accuracies(losses(0.1)["the prior"], seed=1, steps=20, noise=1.0) for _ in range(2))
    assert first == again
    assert first[0] > 10 / len(TRAIN_COUNTS)
    assert len(measure(seeds=1, steps=2)) == 3
    assert "smoothed toward" in capsys.readouterr().out
