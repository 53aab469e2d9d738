"""Normalizes pixels; normalization is part of the network and therefore of the ONNX file.

Shapes: B batch, H W size.
"""

from typing import Literal

import torch
from torch import Tensor, nn

Normalization = Literal["imagenet", "per_image"]

# Channel statistics of ImageNet, which the pretrained weights expect, on the 0..255 scale.
MEAN_RGB = (0.485 * 255, 0.456 * 255, 0.406 * 255)
STD_RGB = (0.229 * 255, 0.224 * 255, 0.225 * 255)

# The square of this standard deviation, on the 0..255 scale, is added to the variance of each channel. A nearly
# constant channel is thus divided by 5, and not by the standard deviation of its noise, which would become 1.
EPS = 5.0


def normalizer(kind: Normalization) -> nn.Module:
    """Returns a module from pixels in 0..255 [B,3,H,W] to float32 of the same shape.

    Args:
        kind: "imagenet" applies the channel means and standard deviations that pretrained weights expect. "per_image"
            applies those of each crop, so the network does not have to learn to ignore brightness, contrast and tint
            (https://arxiv.org/abs/1204.3968 normalizes house numbers locally). It also cancels the brightness and
            contrast changes of `Color`, except for clipping.
    """
    return ImageNetNormalize() if kind == "imagenet" else PerImageStandardize()


class ImageNetNormalize(nn.Module):
    """Normalizes each channel by ImageNet's mean and standard deviation."""

    mean_C11: Tensor
    std_C11: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean_C11", torch.tensor(MEAN_RGB).view(3, 1, 1), persistent=False)
        self.register_buffer("std_C11", torch.tensor(STD_RGB).view(3, 1, 1), persistent=False)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return (images_BCHW.float() - self.mean_C11) / self.std_C11


class PerImageStandardize(nn.Module):
    """Standardizes each channel of each crop; `EPS` prevents a nearly constant channel from becoming noise."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        images_BCHW = images_BCHW.float()
        centered_BCHW = images_BCHW - images_BCHW.mean(dim=(2, 3), keepdim=True)
        variance_BC11 = centered_BCHW.square().mean(dim=(2, 3), keepdim=True)
        return centered_BCHW / (variance_BC11 + EPS**2).sqrt()
