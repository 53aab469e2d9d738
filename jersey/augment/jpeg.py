"""Simulates JPEG compression on the device: chroma at half resolution, and quantized frequencies of 8 x 8 blocks.

It follows Pillow's encoder and decoder (libjpeg), except for their integer arithmetic: ITU-T T.81,
https://www.w3.org/Graphics/JPEG/itu-t81.pdf, with the tables of its annex K; and the colors of JFIF,
https://www.w3.org/Graphics/JPEG/jfif3.pdf.

Shapes: B batch, C channels (3), P pixels, H W size, h w half of it. Images are float in [0, 1].
"""

import io
import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image, JpegImagePlugin
from torch import Generator, Tensor

from jersey.augment.base import Augmentation, bernoulli_mask, uniform

_BLOCK = 8


@dataclass(eq=False, kw_only=True)
class RandomJPEG(Augmentation):
    """Compresses a crop with probability `p`, at an integer quality that is uniform from `quality` to 95."""

    quality: int
    p: float = 1.0

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        batch = len(images_BCHW)
        quality_B = uniform((batch,), self.quality, 96, generator).floor().clamp(max=95)
        compressed_BCHW = compress(images_BCHW, quality_B)
        return torch.where(bernoulli_mask(batch, self.p, generator)[:, None, None, None], compressed_BCHW, images_BCHW)


def compress(images_BCHW: Tensor, quality_B: Tensor) -> Tensor:
    """Simulates JPEG compression.

    Args:
        images_BCHW: RGB images, float in [0, 1].
        quality_B: qualities as integers from 1 to 95, as float.

    Returns:
        Decoded images, float [B,3,H,W] in [0, 1], in steps of 1/255.
    """
    height, width = images_BCHW.shape[2:]
    fixed = constants(images_BCHW.device)
    # The image is padded to whole blocks of chroma at half resolution.
    bottom, right = -height % (2 * _BLOCK), -width % (2 * _BLOCK)
    whole_BCHW = F.pad((images_BCHW * 255).round(), (0, right, 0, bottom), mode="replicate")
    ycc_BCHW = (fixed.to_ycc_33 @ whole_BCHW.flatten(2) + fixed.offset_31).round().view_as(whole_BCHW)
    luminance_B1HW = quantize(ycc_BCHW[:, :1], quantization_steps(fixed.luminance_88, quality_B))[..., :height, :width]
    # As in libjpeg, the last row of means is repeated below the image, and the last column of pixels to its right.
    means_B2hw = halve(ycc_BCHW[:, 1:, : height + height % 2])
    means_B2hw = F.pad(means_B2hw, (0, 0, 0, ycc_BCHW.shape[2] // 2 - means_B2hw.shape[2]), mode="replicate")
    halved_B2hw = quantize(means_B2hw, quantization_steps(fixed.chrominance_88, quality_B))
    # The padding of the last blocks is excluded from upsampling.
    inside_B2hw = halved_B2hw[..., : (height + 1) // 2, : (width + 1) // 2]
    chrominance_B2HW = F.interpolate(inside_B2hw, scale_factor=2, mode="bilinear", align_corners=False).round()
    decoded_BCHW = torch.cat([luminance_B1HW, chrominance_B2HW[..., :height, :width]], dim=1)
    rgb_BCP = fixed.to_rgb_33 @ (decoded_BCHW.flatten(2) - fixed.offset_31)
    return rgb_BCP.round().clamp(0, 255).view_as(images_BCHW) / 255


def halve(planes_BCHW: Tensor) -> Tensor:
    """Returns means of 2 x 2 integers; halves are rounded down and up alternately along a row, as in libjpeg."""
    means_BChw = F.avg_pool2d(planes_BCHW, 2)
    odd_w = torch.arange(means_BChw.shape[-1], device=planes_BCHW.device) % 2
    return (means_BChw + 0.25 + 0.25 * odd_w).floor()


def quantization_steps(standard_88: Tensor, quality_B: Tensor) -> Tensor:
    """Returns quantization steps [B,8,8] for each quality, scaled from those at quality 50 as in libjpeg."""
    percent_B = torch.where(quality_B < 50, (5000 / quality_B).floor(), 200 - 2 * quality_B)
    return ((standard_88 * percent_B[:, None, None] + 50) / 100).floor().clamp(1, 255)


def quantize(planes_BCHW: Tensor, steps_B88: Tensor) -> Tensor:
    """Returns planes in 0..255 with the frequencies of their blocks rounded to multiples of `steps_B88`."""
    batch, channels, height, width = planes_BCHW.shape
    cosines_88 = constants(planes_BCHW.device).cosines_88
    blocks = (batch, channels, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    columns_done = cosines_88 @ (planes_BCHW - 128).reshape(-1, _BLOCK, width)
    frequencies = (columns_done.view(-1, _BLOCK) @ cosines_88.T).view(blocks)
    steps = steps_B88[:, None, None, :, None, :]
    rounded = (frequencies / steps).round() * steps
    rows_undone = (rounded.view(-1, _BLOCK) @ cosines_88).view(-1, _BLOCK, width)
    return ((cosines_88.T @ rows_undone).view_as(planes_BCHW) + 128).round().clamp(0, 255)


class Constants(NamedTuple):
    """The constants of JPEG on one device.

    Attributes:
        cosines_88: discrete cosine transform, orthonormal.
        to_ycc_33: conversion from RGB to luminance and two chrominances, before `offset_31` is added.
        to_rgb_33: inverse of `to_ycc_33`.
        offset_31: addend of luminance and chrominances.
        luminance_88: quantization steps of the luminance at quality 50.
        chrominance_88: quantization steps of both chrominances at quality 50.
    """

    cosines_88: Tensor
    to_ycc_33: Tensor
    to_rgb_33: Tensor
    offset_31: Tensor
    luminance_88: Tensor
    chrominance_88: Tensor


@cache
def constants(device: torch.device) -> Constants:
    """Returns the constants on a device; cached, because every copy from the host waits for the device."""
    index_8 = torch.arange(_BLOCK, dtype=torch.float64)
    cosines_88 = torch.cos((index_8 + 0.5) * index_8[:, None] * math.pi / _BLOCK) * math.sqrt(2 / _BLOCK)
    cosines_88[0] /= math.sqrt(2)
    eye_33, luminance_3 = torch.eye(3, dtype=torch.float64), torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    blue_3, red_3 = eye_33[2] - luminance_3, eye_33[0] - luminance_3
    to_ycc_33 = torch.stack([luminance_3, blue_3 / (2 * blue_3[2]), red_3 / (2 * red_3[0])])
    offset_31 = torch.tensor([[0], [128], [128]])
    tables = [torch.tensor(table).view(_BLOCK, _BLOCK) for table in _standard_tables()]
    tensors = (cosines_88, to_ycc_33, torch.linalg.inv(to_ycc_33), offset_31, *tables)
    return Constants(*(tensor.float().to(device) for tensor in tensors))


def _standard_tables() -> tuple[list[int], list[int]]:
    """Returns the luminance and chrominance tables of annex K of T.81, which libjpeg uses unscaled at quality 50."""
    file = io.BytesIO()
    Image.new("RGB", (_BLOCK, _BLOCK)).save(file, "JPEG", quality=50)
    with JpegImagePlugin.JpegImageFile(io.BytesIO(file.getvalue())) as image:
        return image.quantization[0], image.quantization[1]
