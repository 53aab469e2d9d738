"""Class imbalance: weights in the loss and class-balanced sampling, both with one power p of the class counts.

p = 0 leaves the data as it is, p = 1 makes all classes equal. Weights and sampler multiply when both are on.

Shapes: K classes, N crops of the train split.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from jersey.core.labels import ILLEGIBLE_INDEX


def class_weights(counts_K: Sequence[int], *, power: float) -> Tensor:
    """Loss weights `count^-power`, float32 [K], scaled so that their mean over the train crops is 1.

    That scale keeps the loss, and with it the best learning rate, where it was without weights. A class without
    train crops (possible with pinned labels) gets 0.
    """
    counts = torch.tensor(counts_K, dtype=torch.float64)
    weights = torch.where(counts > 0, counts.clamp(min=1) ** -power, 0.0)
    return (weights * counts.sum() / (weights * counts).sum()).float()


class BalancedSampler(Sampler[int]):
    """Draws as many crops an epoch as the split has, each class in proportion to `count^(1 - power)`.

    Illegible crops are one class more.

    Systematic resampling (Kitagawa 1996, https://doi.org/10.2307/1390750): a crop, or a class, that should appear e
    times an epoch on average appears floor(e) or ceil(e) times, so an epoch holds no chance duplicates, and power 0
    is a plain shuffle. What is drawn is a function of (seed, epoch) alone.

    With `overfit_indices` an epoch is as long as ever, but made of the first so many draws of epoch 0, again and again.
    """

    def __init__(
        self, class_indices_N: Sequence[int], *, power: float, seed: int, overfit_indices: int | None = None
    ) -> None:
        self.class_indices_N = np.asarray(class_indices_N, dtype=np.int64)
        _, class_N, counts = np.unique(self.class_indices_N, return_inverse=True, return_counts=True)
        share_N = counts.astype(np.float64)[class_N] ** -power
        self.expected_N = share_N * len(share_N) / share_N.sum()
        self.seed = seed
        self.repeated = overfit_indices
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def draw(self, epoch: int) -> np.ndarray:
        """Crop indices of one epoch in training order, int64 [N]."""
        rng = np.random.default_rng([self.seed, epoch if self.repeated is None else 0])
        size = len(self.expected_N)
        shuffled_N = rng.permutation(size)
        order_N = shuffled_N[np.argsort(self.class_indices_N[shuffled_N], kind="stable")]  # a class is one stretch
        edges_N = np.cumsum(self.expected_N[order_N])
        edges_N *= size / edges_N[-1]  # rounding must not leave the last point outside
        points_N = np.arange(size) + rng.uniform()
        drawn_N = order_N[np.searchsorted(edges_N, points_N, side="right").clip(max=size - 1)]
        return np.resize(rng.permutation(drawn_N)[: self.repeated], size)

    def expected_counts(self, *, num_classes: int) -> np.ndarray:
        """How many crops of each class an epoch draws on average, float64 [K]."""
        is_legible_N = self.class_indices_N != ILLEGIBLE_INDEX
        legible = self.class_indices_N[is_legible_N]
        return np.bincount(legible, weights=self.expected_N[is_legible_N], minlength=num_classes)

    def sampled_counts(self, epoch: int, *, num_classes: int) -> np.ndarray:
        """How many crops of each class the epoch draws, int64 [K]; the others of its draws are illegible."""
        drawn_N = self.class_indices_N[self.draw(epoch)]
        return np.bincount(drawn_N[drawn_N != ILLEGIBLE_INDEX], minlength=num_classes)

    def __iter__(self) -> Iterator[int]:
        return iter(self.draw(self.epoch).tolist())

    def __len__(self) -> int:
        return len(self.expected_N)


@dataclass(frozen=True)
class ClassSampling:
    """A class: its train crops, the probability that a draw is one of them, its loss weight, its share of the loss."""

    crops: int
    probability: float
    weight: float
    share: float

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """For a table."""
        return f"{self.crops:,}", f"{self.probability:.2%}", f"{self.weight:.3f}", f"{self.share:.2%}"


def class_balance(
    counts: Mapping[str, int], sampler: BalancedSampler, class_weights_K: Tensor
) -> dict[str, ClassSampling]:
    """What sampler and loss weights together make of the classes, by name; `counts` are of train, in label order."""
    probability_K = sampler.expected_counts(num_classes=len(counts)) / len(sampler)
    weight_K = class_weights_K.double().cpu().numpy()
    share_K = probability_K * weight_K / (probability_K * weight_K).sum()
    # Rounded, so that equal classes are equal whatever the power.
    columns = (counts.values(), *(column.round(12).tolist() for column in (probability_K, weight_K, share_K)))
    return {name: ClassSampling(*row) for name, *row in zip(counts, *columns, strict=True)}


def imbalance_summary(classes: Mapping[str, ClassSampling]) -> str:
    """How much the imbalance of the crops is still one in the loss, as a phrase."""
    present = {name: each for name, each in classes.items() if each.crops}
    rare, common = (choose(present, key=lambda name: present[name].crops) for choose in (min, max))
    crops, share = (getattr(present[common], what) / getattr(present[rare], what) for what in ("crops", "share"))
    return f"commonest {common} to rarest {rare}: {crops:.3g} to 1 in crops, {share:.3g} to 1 in the loss"
