"""Occludes crops with a plain rectangle, as in https://arxiv.org/abs/1708.04896.

A digit stays partly visible only if the largest rectangle is clearly smaller than a digit;
`jersey.evaluation.label_preservation` measures that.

Shapes: B batch, C channels, H W size. Images are float in [0, 1].
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from jersey.augment.base import Augmentation, bernoulli_mask, uniform

_MAX_ASPECT = 3.0  # longer to shorter side; torchvision's default is 3.3


@dataclass(eq=False, kw_only=True)
class RandomErasing(Augmentation):
    """Paints a rectangle of a random color over a crop, with probability `p`.

    The area of the rectangle is uniform from 0 to `area`, a fraction of the crop.
    """

    area: float
    p: float = 1.0

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        batch, channels, height, width = images_BCHW.shape
        area_px_B = (
            height * width * uniform((batch,), 0, self.area, generator) * bernoulli_mask(batch, self.p, generator)
        )
        log_aspect_B = uniform((batch,), -math.log(_MAX_ASPECT), math.log(_MAX_ASPECT), generator)
        place_2B = uniform((2, batch), 0, 1, generator)
        color_BC11 = uniform((batch, channels, 1, 1), 0, 1, generator)
        # Rounded down, so that no rectangle is larger than allowed.
        height_px_B = torch.sqrt(area_px_B * torch.exp(log_aspect_B)).clamp(max=height).floor()
        width_px_B = torch.sqrt(area_px_B * torch.exp(-log_aspect_B)).clamp(max=width).floor()
        rows_BH = _span(height_px_B, place_2B[0], height)
        columns_BW = _span(width_px_B, place_2B[1], width)
        return torch.where(rows_BH[:, None, :, None] & columns_BW[:, None, None, :], color_BC11, images_BCHW)


def _span(length_px_B: Tensor, place_B: Tensor, size_px: int) -> Tensor:
    """Returns the pixels of one axis that each rectangle covers, bool [B,size_px]; all positions are equally likely."""
    first_B1 = (place_B * (size_px - length_px_B + 1)).floor()[:, None]
    pixels_P = torch.arange(size_px, device=place_B.device)
    return (pixels_P >= first_B1) & (pixels_P < first_B1 + length_px_B[:, None])
