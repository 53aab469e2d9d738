"""Corrects class imbalance by loss weights and class-balanced sampling, both with a power p of the class counts.

p = 0 leaves the data unchanged, p = 1 makes all classes equal. If both are used, their effects multiply, also with that
of a `jersey.training.losses.LogitAdjustedLoss`.

Shapes: K classes, N crops of the train split.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from jersey.core.labels import ILLEGIBLE_INDEX
from jersey.core.tables import percent

BALANCE_COLUMNS = ("train crops", "sampled", "loss weight", "fraction of the loss", "logit adjustment")
"""The names of the cells of a `ClassSampling`."""


def class_weights(counts_K: Sequence[int], *, power: float) -> Tensor:
    """Returns loss weights `count^-power`, float32 [K], scaled so that their mean over the train crops is 1.

    The scaling keeps the loss, and thus the best learning rate, as it was without weights. A class without train crops
    (possible with pinned labels) gets 0.
    """
    counts = torch.tensor(counts_K, dtype=torch.float64)
    weights = torch.where(counts > 0, counts.clamp(min=1) ** -power, 0.0)
    return (weights * counts.sum() / (weights * counts).sum()).float()


class BalancedSampler(Sampler[int]):
    """Samples as many crops per epoch as the split has, those of a class in proportion to `count^(1 - power)`.

    Illegible crops are one additional class.

    Systematic resampling (Kitagawa 1996, https://doi.org/10.2307/1390750): a crop, or a class, that is expected e
    times per epoch is sampled floor(e) or ceil(e) times, so an epoch has no chance duplicates, and power 0 is a plain
    shuffle. The sample is a function of (seed, epoch) alone.

    Args:
        class_indices_N: class index or ILLEGIBLE_INDEX of each crop.
        power: 0 for the frequencies of the split, 1 for equally frequent classes.
        seed: seed of all samples.
        overfit_indices: number of crops that every epoch repeats, the first ones of epoch 0; None for no repetition.
    """

    def __init__(
        self, class_indices_N: Sequence[int], *, power: float, seed: int, overfit_indices: int | None = None
    ) -> None:
        self.class_indices_N = np.asarray(class_indices_N, dtype=np.int64)
        _, class_N, counts = np.unique(self.class_indices_N, return_inverse=True, return_counts=True)
        weights_N = counts.astype(np.float64)[class_N] ** -power
        self.expected_N = weights_N * len(weights_N) / weights_N.sum()
        self.seed = seed
        self.overfit_indices = overfit_indices
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch; Lightning calls this before each one."""
        self.epoch = epoch

    def epoch_indices(self, epoch: int) -> np.ndarray:
        """Samples the crop indices of an epoch, int64 [N], in training order."""
        rng = np.random.default_rng([self.seed, epoch if self.overfit_indices is None else 0])
        size = len(self.expected_N)
        shuffled_N = rng.permutation(size)
        order_N = shuffled_N[np.argsort(self.class_indices_N[shuffled_N], kind="stable")]  # grouped by class
        edges_N = np.cumsum(self.expected_N[order_N])
        edges_N *= size / edges_N[-1]  # after rounding, the last point might lie beyond the last edge
        points_N = np.arange(size) + rng.uniform()
        sampled_N = order_N[np.searchsorted(edges_N, points_N, side="right").clip(max=size - 1)]
        return np.resize(rng.permutation(sampled_N)[: self.overfit_indices], size)

    def expected_counts(self, *, num_classes: int) -> np.ndarray:
        """Returns how many crops of each class an epoch has on average, float64 [K], without illegible ones."""
        is_legible_N = self.class_indices_N != ILLEGIBLE_INDEX
        return np.bincount(
            self.class_indices_N[is_legible_N], weights=self.expected_N[is_legible_N], minlength=num_classes
        )

    def sampled_counts(self, epoch: int, *, num_classes: int) -> np.ndarray:
        """Returns how many crops of each class an epoch has, int64 [K], without illegible ones."""
        classes_N = self.class_indices_N[self.epoch_indices(epoch)]
        return np.bincount(classes_N[classes_N != ILLEGIBLE_INDEX], minlength=num_classes)

    def __iter__(self) -> Iterator[int]:
        return iter(self.epoch_indices(self.epoch).tolist())

    def __len__(self) -> int:
        return len(self.expected_N)


@dataclass(frozen=True)
class ClassSampling:
    """The influence of a class on training.

    Attributes:
        crops: number of its train crops.
        probability: probability that a sampled crop is of this class.
        weight: weight of its crops in the loss.
        loss_fraction: fraction of the summed weights of an epoch that its crops have on average.
        adjustment: what the loss adds to its logit in training, relative to the most frequent class: 0 or less.
    """

    crops: int
    probability: float
    weight: float
    loss_fraction: float
    adjustment: float

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of a table row."""
        probability, loss_fraction = map(percent, (self.probability, self.loss_fraction))
        return f"{self.crops:,}", probability, f"{self.weight:.3f}", loss_fraction, f"{self.adjustment:.2f}"


def class_balance(
    counts: Mapping[str, int], sampler: BalancedSampler, class_weights_K: Tensor, log_prior_K: Tensor
) -> dict[str, ClassSampling]:
    """Combines the effects of sampler, loss weights and logit adjustment.

    Args:
        counts: number of train crops of each class by name, in label order.
        sampler: sampler of the train crops.
        class_weights_K: loss weights, as from `class_weights`.
        log_prior_K: what the loss adds to the logits in training, up to a constant.

    Returns:
        Influence of each class by name.
    """
    probability_K = sampler.expected_counts(num_classes=len(counts)) / len(sampler)
    weight_K = class_weights_K.double().cpu().numpy()
    fraction_K = probability_K * weight_K / (probability_K * weight_K).sum()
    adjustment_K = (log_prior_K - log_prior_K.max()).double().cpu().numpy()
    computed = (probability_K, weight_K, fraction_K, adjustment_K)
    # Rounded, so that equal classes are equal whatever the power is.
    columns = (counts.values(), *(column.round(12).tolist() for column in computed))
    return {name: ClassSampling(*row) for name, *row in zip(counts, *columns, strict=True)}


def imbalance_summary(classes: Mapping[str, ClassSampling]) -> str:
    """Returns a sentence that compares the most frequent class with the rarest, in crops and in the loss."""
    present = {name: each for name, each in classes.items() if each.crops}
    rarest = min(present, key=lambda name: present[name].crops)
    commonest = max(present, key=lambda name: present[name].crops)
    crops = f"{present[commonest].crops / present[rarest].crops:.3g} times the crops"
    loss = f"{present[commonest].loss_fraction / present[rarest].loss_fraction:.3g} times the loss"
    return f"{commonest} (most frequent) has {crops} and {loss} of {rarest} (rarest)"
