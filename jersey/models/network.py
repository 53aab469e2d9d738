"""The network that is trained, evaluated and exported: normalize, backbone, head.

Normalization is inside, so that nobody outside can get it wrong: the input is RGB in 0..255, uint8 or float.

Shapes: B batch, H W size, D features, K classes, N = 110 numbers.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.models.heads import CompositionalHead, linear_head
from jersey.models.normalization import ImageNetNormalize, Normalization, normalizer
from jersey.models.resnet import Architecture, Stem, resnet


class Network(nn.Module):
    """Logits [B,K] of RGB images [B,3,H,W] in 0..255.

    Args:
        backbone: float [B,3,H,W] to features [B,D].
        head: features [B,D] to logits [B,K].
        normalize: pixels in 0..255 to what the backbone takes.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, normalize: nn.Module | None = None) -> None:
        super().__init__()
        self.normalize = normalize or ImageNetNormalize()
        self.backbone = backbone
        self.head = head

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.head(self.features(images_BCHW))

    def features(self, images_BCHW: Tensor) -> Tensor:
        """The input of the head, [B,D]."""
        return self.backbone(self.normalize(images_BCHW).contiguous(memory_format=torch.channels_last))

    @property
    def has_open_vocabulary(self) -> bool:
        """Whether the head can read numbers that are not among the labels."""
        return isinstance(self.head, CompositionalHead)

    def open_vocabulary_logits(self, images_BCHW: Tensor) -> Tensor:
        """Scores [B,N] of every string of at most two digits, see `open_vocabulary_logits_of_features`."""
        return self.open_vocabulary_logits_of_features(self.features(images_BCHW))

    def open_vocabulary_logits_of_features(self, features_BD: Tensor) -> Tensor:
        """The same from what `features` returns: scores of `jersey.models.parts.NUMBERS`.

        Raises:
            UserError: the head knows numbers only whole.
        """
        if not isinstance(self.head, CompositionalHead):
            raise UserError(
                "this network knows whole numbers only, so it can read no other than its labels; train one with the "
                "compositional head (module.network.head)"
            )
        return self.head.open_vocabulary_logits(features_BD)

    def half_precision(self) -> "Network":
        """A copy with backbone and head in float16.

        It normalizes in float32: pixels of 0 to 255 between float16's steps would round otherwise than in training.
        """
        copied = copy.deepcopy(self)
        return Network(copied.backbone.half(), copied.head.half(), nn.Sequential(copied.normalize, _ToHalf())).train(
            self.training
        )


class _ToHalf(nn.Module):
    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        return pixels_BCHW.half()


def resnet_classifier(
    *,
    labels: Labels,
    architecture: Architecture = "resnet18",
    weights: str | None = "imagenet",
    stem: Stem = "imagenet",
    normalization: Normalization = "imagenet",
    head: Callable[..., nn.Module] = linear_head,
) -> Network:
    """A ResNet with a head on top, in channels-last memory format.

    Args:
        labels: the label map; its length is K.
        architecture: which ResNet.
        weights: see `jersey.models.resnet.resnet`.
        stem: see `jersey.models.resnet.resnet`.
        normalization: see `jersey.models.normalization.normalizer`.
        head: called with `features`, their number, and `labels`; see `jersey.models.heads`.
    """
    backbone, features = resnet(architecture, weights=weights, stem=stem)
    network = Network(backbone, head(features=features, labels=labels), normalizer(normalization))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
