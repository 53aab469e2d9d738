"""Pixels to what the first convolution sees; a part of the network, so that it travels with it into the ONNX file.

Shapes: B batch, H W size.
"""

from typing import Literal

import torch
from torch import Tensor, nn

Normalization = Literal["imagenet", "per_image"]

# Channel statistics of ImageNet, which the pretrained weights expect, on the 0..255 scale.
MEAN_RGB = (0.485 * 255, 0.456 * 255, 0.406 * 255)
STD_RGB = (0.229 * 255, 0.224 * 255, 0.225 * 255)

EPS = 5.0  # of a crop's standard deviations, on the same scale: added to them as squares


def normalizer(kind: Normalization) -> nn.Module:
    """A module from pixels in 0..255 [B,3,H,W] to float32 of the same shape.

    Args:
        kind: "imagenet" takes the same mean and standard deviation of each channel for all crops, those that pretrained
            weights expect. "per_image" takes those of the crop: the light on the picture, its contrast and tint are gone
            before anything has to be learnt. (House numbers were normalized locally: https://arxiv.org/abs/1204.3968.)
            What `Color` does to brightness and contrast goes with them, but for what it clips.
    """
    return ImageNetNormalize() if kind == "imagenet" else PerImageStandardize()


class ImageNetNormalize(nn.Module):
    """See `normalizer`."""

    mean_C11: Tensor
    std_C11: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean_C11", torch.tensor(MEAN_RGB).view(3, 1, 1), persistent=False)
        self.register_buffer("std_C11", torch.tensor(STD_RGB).view(3, 1, 1), persistent=False)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return (images_BCHW.float() - self.mean_C11) / self.std_C11


class PerImageStandardize(nn.Module):
    """See `normalizer`. `EPS` keeps a channel that is all but flat from becoming noise."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        images_BCHW = images_BCHW.float()
        centred_BCHW = images_BCHW - images_BCHW.mean(dim=(2, 3), keepdim=True)
        variance_BC11 = centred_BCHW.square().mean(dim=(2, 3), keepdim=True)
        return centred_BCHW / (variance_BC11 + EPS**2).sqrt()
