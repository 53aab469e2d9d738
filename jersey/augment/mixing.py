"""MixUp and CutMix: each crop of a batch is mixed with its neighbor, and so are their labels.

torchvision's `v2.MixUp` and `v2.CutMix` do the same, but sample from torch's global generator.

Shapes: B batch, C channels (3), H W size, K classes, J = K + 1.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from jersey.core.errors import UserError

MIXING = 1  # last counter of the random numbers, which separates them from the augmentation's


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Mixes each crop of a batch with the previous one, in the way that `mixed` defines.

    Attributes:
        alpha: parameter of Beta(alpha, alpha), from which the fraction that a crop keeps is sampled once per batch:
            mostly near 0 or 1 for a small alpha, uniform for 1.
        p: probability that a batch is mixed, above 0.
    """

    alpha: float
    p: float = 1.0

    def __post_init__(self) -> None:
        if not (self.alpha > 0 and 0 < self.p <= 1):
            raise UserError(
                f"module.mix has alpha={self.alpha} and p={self.p}; alpha must be above 0 and p in (0, 1], "
                "and module.mix=None disables mixing"
            )

    def __call__(
        self, images_BCHW: Tensor, labels_B: Tensor, generator: Generator, *, num_classes: int
    ) -> tuple[Tensor, Tensor]:
        """Mixes a batch.

        Args:
            images_BCHW: images in 0..255.
            labels_B: class indices or ILLEGIBLE_INDEX, int64.
            generator: generator on the CPU, so that the device does not wait for the parameters of a batch.
            num_classes: number of classes, K.

        Returns:
            Mixed images, float [B,C,H,W], and the fraction of each label in them, float [B,K+1], the last of which is
            that of illegible crops.
        """
        # torch has no public beta distribution that takes a generator.
        rng = np.random.default_rng(int(torch.randint(2**63 - 1, (), generator=generator)))
        images_BCHW, lam = images_BCHW.float(), 1.0
        if rng.random() < self.p:
            images_BCHW, lam = self.mixed(images_BCHW, float(rng.beta(self.alpha, self.alpha)), rng)
        columns = num_classes + 1
        one_hot_BJ = F.one_hot(labels_B % columns, columns).float()  # ILLEGIBLE_INDEX, -1, is the last column
        return images_BCHW, lam * one_hot_BJ + (1 - lam) * one_hot_BJ.roll(1, 0)

    def mixed(self, images_BCHW: Tensor, lam: float, rng: np.random.Generator) -> tuple[Tensor, float]:
        """Mixes each image with the previous one.

        Args:
            images_BCHW: images, float in 0..255.
            lam: fraction that each image should keep.
            rng: source of all other parameters.

        Returns:
            Mixed images, and the fraction that each has kept, which may differ from `lam`: pixels cannot be divided.
        """
        raise NotImplementedError


class MixUp(Mix):
    """Blends two crops, pixel by pixel: https://arxiv.org/abs/1710.09412."""

    def mixed(self, images_BCHW: Tensor, lam: float, rng: np.random.Generator) -> tuple[Tensor, float]:
        return lam * images_BCHW + (1 - lam) * images_BCHW.roll(1, 0), lam


class CutMix(Mix):
    """Pastes a box of one crop over another: https://arxiv.org/abs/1905.04899.

    The labels follow the area, not the glyphs: a box may cover the 2 of a 12 and leave half of the label at 12.
    """

    def mixed(self, images_BCHW: Tensor, lam: float, rng: np.random.Generator) -> tuple[Tensor, float]:
        height, width = images_BCHW.shape[2:]
        rows = box_side(height, lam, rng.integers)
        columns = box_side(width, lam, rng.integers)
        pasted_BCHW = images_BCHW.clone()
        pasted_BCHW[:, :, rows, columns] = images_BCHW.roll(1, 0)[:, :, rows, columns]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        return pasted_BCHW, 1 - area / (height * width)


def box_side(size_px: int, lam: float, sample: Callable[[int], int]) -> slice:
    """Returns the rows or columns of a box around a sampled center, cut at the border.

    Args:
        size_px: height or width of the image.
        lam: fraction of the area outside an uncut box, whose sides are sqrt(1 - lam) of the image's.
        sample: function that samples an integer below its argument.
    """
    center, half = int(sample(size_px)), int(math.sqrt(1 - lam) / 2 * size_px)
    return slice(max(center - half, 0), min(center + half, size_px))
