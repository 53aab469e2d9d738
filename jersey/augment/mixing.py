"""MixUp and CutMix: each crop of a batch is mixed with its neighbour, and so are their labels.

torchvision's `v2.MixUp` and `v2.CutMix` do the same, but draw from torch's global generator.

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

MIXING = 1  # the last counter of its random numbers, which sets them apart from the augmentation's


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Mixes the crops of some batches, each with the one before it; `mixed` says how.

    Args:
        alpha: the share that a crop keeps is drawn from Beta(alpha, alpha), one a batch: mostly near 0 or 1 when alpha
            is small, uniform at 1.
        probability: of a batch to be mixed at all, above 0.
    """

    alpha: float
    p: float = 1.0

    def __post_init__(self) -> None:
        if not (self.alpha > 0 and 0 < self.p <= 1):
            raise UserError(
                f"module.mix has alpha={self.alpha} and probability={self.p}; alpha must be above 0 and the "
                "probability in (0, 1], and module.mix=None mixes nothing"
            )

    def __call__(
        self, images_BCHW: Tensor, labels_B: Tensor, generator: Generator, *, num_classes: int
    ) -> tuple[Tensor, Tensor]:
        """The images, float [B,C,H,W], and how much of each label they show and, last, of none, float [B,K+1].

        Images are in 0..255, labels class indices or ILLEGIBLE_INDEX. The generator is on the CPU, where one share and
        one box a batch cost the device no wait.
        """
        # torch has no public beta distribution that takes a generator.
        rng = np.random.default_rng(int(torch.randint(2**63 - 1, (), generator=generator)))
        images_BCHW, lam = images_BCHW.float(), 1.0
        if rng.random() < self.p:
            images_BCHW, lam = self.mixed(images_BCHW, float(rng.beta(self.alpha, self.alpha)), rng)
        columns = num_classes + 1
        shares_BJ = F.one_hot(labels_B % columns, columns).float()  # ILLEGIBLE_INDEX, -1, is the last
        return images_BCHW, lam * shares_BJ + (1 - lam) * shares_BJ.roll(1, 0)

    def mixed(self, images_BCHW: Tensor, lam: float, rng: np.random.Generator) -> tuple[Tensor, float]:
        """Each image mixed with the one before it, and the share of the result that is its own.

        That may differ from the `lam` that was drawn, where pixels cannot be divided.
        """
        raise NotImplementedError


class MixUp(Mix):
    """Blends two crops, pixel by pixel: https://arxiv.org/abs/1710.09412."""

    def mixed(self, images_BCHW: Tensor, lam: float, rng: np.random.Generator) -> tuple[Tensor, float]:
        return lam * images_BCHW + (1 - lam) * images_BCHW.roll(1, 0), lam


class CutMix(Mix):
    """Pastes a box of one crop over another: https://arxiv.org/abs/1905.04899.

    The label follows the area, not the glyphs: a box may cover the 2 of a 12 and leave half the label at 12.
    """

    def mixed(self, images_BCHW: Tensor, lam: float, rng: np.random.Generator) -> tuple[Tensor, float]:
        height, width = images_BCHW.shape[2:]
        rows = box_side(height, lam, rng.integers)
        columns = box_side(width, lam, rng.integers)
        pasted_BCHW = images_BCHW.clone()
        pasted_BCHW[:, :, rows, columns] = images_BCHW.roll(1, 0)[:, :, rows, columns]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        return pasted_BCHW, 1 - area / (height * width)


def box_side(size_px: int, lam: float, draw: Callable[[int], int]) -> slice:
    """One side of the box, of sqrt(1 - lam) of the image's, around a drawn centre, cut at the border."""
    centre, half = int(draw(size_px)), int(math.sqrt(1 - lam) / 2 * size_px)
    return slice(max(centre - half, 0), min(centre + half, size_px))
