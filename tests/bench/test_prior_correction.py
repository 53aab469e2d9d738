"""Post-hoc corrections of the label prior, on Gaussian classes whose posterior is known."""

import pytest
import torch
from torch import Tensor

from jersey.bench.prior_correction import corrected, fitted_bias

MEANS_K2 = torch.tensor([[0.0, 0.0], [1.5, 0.0], [0.0, 1.5]])
LOG_PRIOR_K = torch.tensor([0.9, 0.08, 0.02]).log()


def posterior_logits(*, crops: int, seed: int) -> tuple[Tensor, Tensor]:
    """Returns the logits [N,K] of a network that has learned the prior, and targets [N] that are even."""
    targets_N = torch.arange(crops) % 3
    points_N2 = MEANS_K2[targets_N] + torch.randn(crops, 2, generator=torch.Generator().manual_seed(seed))
    log_likelihood_NK = -0.5 * (points_N2[:, None] - MEANS_K2).square().sum(dim=2)
    return log_likelihood_NK + LOG_PRIOR_K, targets_N


def test_the_fitted_bias_removes_the_prior_of_the_training_set() -> None:
    bias_K = fitted_bias(*posterior_logits(crops=60_000, seed=0))
    torch.testing.assert_close(bias_K, LOG_PRIOR_K.mean() - LOG_PRIOR_K, atol=0.05, rtol=0)


def test_each_correction_is_as_accurate_as_the_best_classifier() -> None:
    logits_test_NK, targets_N = posterior_logits(crops=30_000, seed=1)
    ways = corrected(*posterior_logits(crops=30_000, seed=0), logits_test_NK, LOG_PRIOR_K)
    accuracy = {name: (logits_NK.argmax(dim=1) == targets_N).double().mean().item() for name, logits_NK in ways.items()}
    best = ((logits_test_NK - LOG_PRIOR_K).argmax(dim=1) == targets_N).double().mean().item()
    uncorrected = accuracy.pop("none")
    assert uncorrected < best - 0.2
    assert accuracy == pytest.approx(dict.fromkeys(accuracy, best), abs=0.005)
