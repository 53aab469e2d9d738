"""Compares three ways to smooth labels in the loss with logit adjustment, on a toy long tail.

    python -m jersey.bench.adjusted_smoothing

A linear classifier is trained on Gaussian clusters, one per number of the benchmark set and with as many points as the
set has train crops, and tested on equally many points of each cluster. The ways differ in the target of the smoothed
part: the prior (`jersey.training.losses.LogitAdjustedLoss`), equal adjusted probabilities, or equal probabilities of
the logits without adjustment. The table has the accuracy on all numbers and on the ten rarest ones.

Shapes: N points, D dimensions, K classes.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jersey.bench import harness
from jersey.core.tables import format_table, mean_and_spread
from jersey.synth.benchmark import NUMBERS, TRAIN_COUNTS
from jersey.training.losses import LogitAdjustedLoss

DIMENSIONS = 32
TEST_POINTS = 100  # of each class
RARE = 10

Loss = Callable[[Tensor, Tensor], Tensor]


def losses(label_smoothing: float) -> dict[str, Loss]:
    """Returns the loss of logits float32 [N,K] and labels int64 [N], by the target of the smoothed part."""
    toward_prior = LogitAdjustedLoss(label_smoothing=label_smoothing)
    toward_prior.set_class_counts(TRAIN_COUNTS)
    weights_K, prior_K = torch.ones(len(TRAIN_COUNTS)), toward_prior.log_prior_K

    def toward_equal_logits(logits_NK: Tensor, labels_N: Tensor) -> Tensor:
        smoothed = -logits_NK.log_softmax(dim=1).mean()
        return (1 - label_smoothing) * F.cross_entropy(logits_NK + prior_K, labels_N) + label_smoothing * smoothed

    return {
        "the prior": lambda logits_NK, labels_N: toward_prior(logits_NK, labels_N, weights_K),
        "equal adjusted probabilities": lambda logits_NK, labels_N: F.cross_entropy(
            logits_NK + prior_K, labels_N, label_smoothing=label_smoothing
        ),
        "equal probabilities": toward_equal_logits,
    }


def points(counts_K: Tensor, centers_KD: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Samples points float32 [N,D] around the centers of their classes; returns them with their labels int64 [N]."""
    labels_N = torch.arange(len(counts_K)).repeat_interleave(counts_K)
    return centers_KD[labels_N] + noise * torch.randn(len(labels_N), centers_KD.shape[1]), labels_N


def accuracies(loss: Loss, *, seed: int, steps: int, noise: float) -> tuple[float, float]:
    """Trains a linear classifier, and returns its accuracy on all classes and on the rarest ones."""
    torch.manual_seed(seed)
    centers_KD = torch.randn(len(TRAIN_COUNTS), DIMENSIONS)
    train_ND, labels_N = points(torch.tensor(TRAIN_COUNTS), centers_KD, noise)
    test_ND, expected_N = points(torch.full((len(TRAIN_COUNTS),), TEST_POINTS), centers_KD, noise)
    classifier = nn.Linear(DIMENSIONS, len(TRAIN_COUNTS))
    optimizer = torch.optim.Adam(classifier.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(classifier(train_ND), labels_N).backward()
        optimizer.step()
    with torch.no_grad():
        correct_N = (classifier(test_ND).argmax(dim=1) == expected_N).double()
    return correct_N.mean().item(), correct_N[expected_N >= len(NUMBERS) - RARE].mean().item()


def measure(seeds: int = 4, steps: int = 300, noise: float = 2.0, label_smoothing: float = 0.1) -> dict[str, Any]:
    """Prints the table, in percent, as mean and standard deviation over the seeds.

    Args:
        seeds: number of seeds, such as 4.
        steps: optimizer steps, each on all points, such as 300.
        noise: standard deviation of the points of a cluster; that of the centers is 1, such as 2.
        label_smoothing: factor of the smoothed part, such as 0.1.
    """
    table, numbers = [["smoothed toward", "all", f"{RARE} rarest"]], {}
    for name, loss in losses(label_smoothing).items():
        found = [accuracies(loss, seed=seed, steps=steps, noise=noise) for seed in range(seeds)]
        columns = list(zip(*found, strict=True))
        table.append([name, *map(mean_and_spread, columns)])
        numbers[name] = [round(sum(column) / seeds, 4) for column in columns]
    print("\n".join(format_table(table)), end="\n\n")
    return numbers


if __name__ == "__main__":
    harness.command("adjusted_smoothing", __doc__, measure)
