"""Blurs crops by a Gaussian or along a line, or reduces their resolution.

Each crop is convolved with its own kernel, with mirrored borders, or downscaled and upscaled again. Crops of different
sizes do not fit into one tensor, so these resizes (torch's antialiased bilinear ones) are matrices, one per axis, in
which the smaller image fills only some rows.

Shapes: B batch, C channels, G = B x C groups, H W size, K kernel size, S samples along a line, and of an axis P pixels,
O outputs and I inputs. Images are float in [0, 1].
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from jersey.augment.base import Augmentation, bernoulli_mask, uniform

_MIN_SIGMA_PX = 1e-3  # a Gaussian this narrow is a single pixel, and its exponents are finite


@dataclass(eq=False, kw_only=True)
class Blur(Augmentation):
    """Blurs a crop with probability `p` by a Gaussian whose sigma is uniform from 0 to `sigma_px`."""

    sigma_px: float
    p: float = 1.0

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        batch = len(images_BCHW)
        sigma_B = uniform((batch,), 0, self.sigma_px, generator) * bernoulli_mask(batch, self.p, generator)
        kernels_BK = gaussian_kernels(sigma_B, radius_px=_radius(3 * self.sigma_px, images_BCHW))
        return convolve(convolve(images_BCHW, kernels_BK[:, None, :]), kernels_BK[:, :, None])


@dataclass(eq=False, kw_only=True)
class MotionBlur(Augmentation):
    """Blurs a crop with probability `p` along a line of any direction, its length uniform from 0 to `length_px`."""

    length_px: float
    p: float = 1.0

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        batch = len(images_BCHW)
        length_B = uniform((batch,), 0, self.length_px, generator) * bernoulli_mask(batch, self.p, generator)
        angle_B = uniform((batch,), 0, math.pi, generator)
        lines_B2 = length_B[:, None] * torch.stack([torch.cos(angle_B), torch.sin(angle_B)], dim=1)
        return convolve(images_BCHW, line_kernels(lines_B2, radius_px=_radius(self.length_px / 2, images_BCHW)))


def _radius(reach_px: float, images_BCHW: Tensor) -> int:
    """Returns a kernel's radius; borders can only be mirrored by less than the size of the image."""
    return min(math.ceil(reach_px), *(size - 1 for size in images_BCHW.shape[2:]))


def gaussian_kernels(sigma_B: Tensor, *, radius_px: int) -> Tensor:
    """Returns Gaussian kernels [B,K] that sum to 1."""
    offsets_K = torch.arange(-radius_px, radius_px + 1, device=sigma_B.device)
    weights_BK = torch.exp(-0.5 * (offsets_K / sigma_B.clamp(min=_MIN_SIGMA_PX)[:, None]) ** 2)
    return weights_BK / weights_BK.sum(dim=1, keepdim=True)


def line_kernels(lines_B2: Tensor, *, radius_px: int) -> Tensor:
    """Returns kernels [B,K,K] that average along centered lines.

    Args:
        lines_B2: vectors from one end of each line to the other, (x, y) in pixels.
        radius_px: half of K - 1.
    """
    offsets_K = torch.arange(-radius_px, radius_px + 1, device=lines_B2.device)
    along_S = torch.linspace(-0.5, 0.5, 4 * radius_px + 3, device=lines_B2.device)
    points_B2S = lines_B2[:, :, None] * along_S
    # Each point is split among its four nearest pixels, by bilinear weights.
    weights_B2SK = (1 - (points_B2S[..., None] - offsets_K).abs()).clamp(min=0)
    kernels_BKK = weights_B2SK[:, 1].mT @ weights_B2SK[:, 0]
    return kernels_BKK / kernels_BKK.sum(dim=(1, 2), keepdim=True)


def convolve(images_BCHW: Tensor, kernels_BKK: Tensor) -> Tensor:
    """Convolves each image with its own kernel, whose sides are odd and may differ, in one grouped convolution."""
    batch, channels, height, width = images_BCHW.shape
    if not batch:
        return images_BCHW
    rows, columns = (size // 2 for size in kernels_BKK.shape[1:])
    padded_BCHW = F.pad(images_BCHW, (columns, columns, rows, rows), mode="reflect")
    weights_G1KK = kernels_BKK.repeat_interleave(channels, dim=0)[:, None]
    blurred_1GHW = F.conv2d(padded_BCHW.flatten(0, 1)[None], weights_G1KK, groups=batch * channels)
    return blurred_1GHW.view(batch, channels, height, width)


@dataclass(eq=False, kw_only=True)
class RandomDownscale(Augmentation):
    """Downscales a crop with probability `p` by a factor log-uniform from 1 to `factor`, and upscales it again."""

    factor: float
    p: float = 1.0

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        batch = len(images_BCHW)
        log_factor_B = uniform((batch,), 0, math.log(self.factor), generator) * bernoulli_mask(batch, self.p, generator)
        factor_B = torch.exp(log_factor_B)
        rows_BHH, columns_BWW = (
            down_and_up((size_px / factor_B).round().clamp(min=1), size_px=size_px) for size_px in images_BCHW.shape[2:]
        )
        return rows_BHH[:, None] @ (images_BCHW @ columns_BWW[:, None].mT)


def down_and_up(small_px_B: Tensor, *, size_px: int) -> Tensor:
    """Returns matrices [B,size_px,size_px] that resize one axis of each crop to `small_px_B`, integers, and back."""
    size_B = torch.full_like(small_px_B, size_px)
    return _resize(small_px_B, size_B, size_px) @ _resize(size_B, small_px_B, size_px)


def _resize(from_px_B: Tensor, to_px_B: Tensor, max_px: int) -> Tensor:
    """Returns matrices [B,O,I], of `max_px` rows and columns, that resize the first `from_px_B` to `to_px_B` pixels."""
    centers_P = torch.arange(max_px, device=from_px_B.device) + 0.5
    step_B11 = (from_px_B / to_px_B)[:, None, None]
    # The filter is wider than one pixel when shrinking, which keeps thin strokes from vanishing.
    distance_BOI = (centers_P[:, None] * step_B11 - centers_P) / step_B11.clamp(min=1)
    weights_BOI = (1 - distance_BOI.abs()).clamp(min=0) * (centers_P < from_px_B[:, None])[:, None, :]
    outputs_BO1 = (centers_P < to_px_B[:, None])[:, :, None]
    return weights_BOI / weights_BOI.sum(dim=2, keepdim=True).clamp(min=1e-6) * outputs_BO1
