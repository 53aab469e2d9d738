"""Low resolution: crops made smaller and enlarged again, as of a player far from the camera.

A size of its own for every crop cannot be a tensor's shape, so both resizes are matrices, one per axis, in which
the smaller picture fills only some rows. The weights are those of torch's antialiased bilinear resize, as in `fit`.

Shapes: B batch, C channels, H W size, O outputs, I inputs of an axis. Images are float in [0, 1].
"""

import math

import torch
from torch import Generator, Tensor

from jersey.augment.augment import Augmentation, chosen, require, uniform


class LowResolution(Augmentation):
    """Shrinks and enlarges again.

    Args:
        factor: the largest; each crop's is log-uniform from 1.
        p: probability that a crop is changed.
    """

    def __init__(self, *, factor: float, p: float = 1.0) -> None:
        super().__init__()
        require("LowResolution", factor=(factor, 1, math.inf), p=(p, 0, 1))
        self.factor = factor
        self.p = p

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        batch = len(images_BCHW)
        log_factor_B = uniform((batch,), 0, math.log(self.factor), generator) * chosen(batch, self.p, generator)
        rows_BHH, columns_BWW = (
            down_and_up((size / torch.exp(log_factor_B)).round().clamp(min=1), size_px=size)
            for size in images_BCHW.shape[2:]
        )
        return rows_BHH[:, None] @ (images_BCHW @ columns_BWW[:, None].mT)


def down_and_up(small_px_B: Tensor, *, size_px: int) -> Tensor:
    """Matrices [B,size_px,size_px] of one axis: to a whole number of pixels of each crop's own, and back."""
    size_B = torch.full_like(small_px_B, size_px)
    return _resize(small_px_B, size_B, size_px) @ _resize(size_B, small_px_B, size_px)


def _resize(from_px_B: Tensor, to_px_B: Tensor, most_px: int) -> Tensor:
    """Weights [B,O,I] from the first `from_px` to the first `to_px` of `most_px` places; the others hold nothing."""
    centres_P = torch.arange(most_px, device=from_px_B.device) + 0.5
    step_B11 = (from_px_B / to_px_B)[:, None, None]
    # Wider than one pixel when shrinking, which is what keeps thin strokes from vanishing.
    distance_BOI = (centres_P[:, None] * step_B11 - centres_P) / step_B11.clamp(min=1)
    weights_BOI = (1 - distance_BOI.abs()).clamp(min=0) * (centres_P < from_px_B[:, None])[:, None, :]
    outputs_BO1 = (centres_P < to_px_B[:, None])[:, :, None]
    return weights_BOI / weights_BOI.sum(dim=2, keepdim=True).clamp(min=1e-6) * outputs_BO1
