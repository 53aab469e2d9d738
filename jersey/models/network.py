"""The network that is trained, evaluated and exported: normalise, backbone, head.

Normalisation is inside, so that nobody outside can get it wrong: the input is RGB in 0..255, uint8 or float.

Shapes: B batch, H W size, D features, K classes.
"""

import torch
from torch import Tensor, nn

from jersey.models.resnet import Architecture, resnet

# Channel statistics of ImageNet, which the pretrained weights expect, on the 0..255 scale.
MEAN_RGB = (0.485 * 255, 0.456 * 255, 0.406 * 255)
STD_RGB = (0.229 * 255, 0.224 * 255, 0.225 * 255)


class Network(nn.Module):
    """Logits [B,K] of RGB images [B,3,H,W] in 0..255.

    Args:
        backbone: float [B,3,H,W] to features [B,D].
        head: features [B,D] to logits [B,K].
    """

    mean_C11: Tensor
    std_C11: Tensor

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.register_buffer("mean_C11", torch.tensor(MEAN_RGB).view(3, 1, 1), persistent=False)
        self.register_buffer("std_C11", torch.tensor(STD_RGB).view(3, 1, 1), persistent=False)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        normalised_BCHW = (images_BCHW.float() - self.mean_C11) / self.std_C11
        return self.head(self.backbone(normalised_BCHW.contiguous(memory_format=torch.channels_last)))


def resnet_classifier(
    *, num_classes: int, architecture: Architecture = "resnet18", weights: str | None = "imagenet"
) -> Network:
    """A ResNet with one linear layer on top, in channels-last memory format.

    Args:
        num_classes: K.
        architecture: which ResNet.
        weights: see `jersey.models.resnet.resnet`.
    """
    backbone, features = resnet(architecture, weights=weights)
    network = Network(backbone, nn.Linear(features, num_classes))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
