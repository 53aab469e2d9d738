"""Provides torchvision's ResNets (https://arxiv.org/abs/1512.03385) without their classifier."""

from typing import Literal

from torch import nn
from torchvision import models

Architecture = Literal["resnet18", "resnet34", "resnet50"]
Stem = Literal["imagenet", "small"]


def resnet(architecture: Architecture, *, stem: Stem = "imagenet") -> tuple[nn.Module, int]:
    """Returns a ResNet with random weights and without its classifier.

    Args:
        architecture: name of the ResNet.
        stem: layers before the first stage. "imagenet" is the paper's: a convolution and a max-pooling of stride 2
            each. The output stride is then 4 px, and 32 px after the last stage, which leaves 2 x 2 positions of a
            crop of 64 px. "small" omits the pooling. It has twice the resolution in all stages, four times the FLOPs,
            and the same weights, so pretrained ones can be loaded.

    Returns:
        Module from float [B,3,H,W] to features [B,D], and D.
    """
    backbone = models.get_model(architecture, weights=None)
    features = backbone.fc.in_features
    backbone.fc = nn.Identity()
    if stem == "small":
        backbone.maxpool = nn.Identity()
    return backbone, features
