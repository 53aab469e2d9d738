"""Defines the network that is trained, evaluated and exported: normalization, backbone and head.

Normalization is part of the network, so callers cannot get it wrong: the input is RGB in 0..255, uint8 or float.

Shapes: B batch, H W size, D features, K classes, N = 110 numbers.
"""

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.models.backbones import RESNETS, Stem, build_backbone, size_error
from jersey.models.heads import CompositionalHead, linear_head
from jersey.models.normalization import ImageNetNormalize, Normalization, normalizer
from jersey.models.weights import load_weights


class Network(nn.Module):
    """Computes logits [B,K] of RGB images [B,3,H,W] in 0..255.

    Args:
        backbone: module from float [B,3,H,W] to features [B,D].
        head: module from features [B,D] to logits [B,K].
        normalize: module from pixels in 0..255 to the backbone's input; `ImageNetNormalize` if None.
        settings: "architecture", "stem" and "normalization" of the network, which checkpoints and ONNX files record.

    Attributes:
        initial_weights: source of its initial weights; None if they are random.
        pretrained_size_px: height and width of the crops on which its initial weights were trained; None if unknown.
    """

    initial_weights: str | None = None
    pretrained_size_px: tuple[int, int] | None = None

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        normalize: nn.Module | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.settings = dict(settings or {})
        self.normalize = normalize or ImageNetNormalize()
        self.backbone = backbone
        self.head = head

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.head(self.features(images_BCHW))

    def features(self, images_BCHW: Tensor) -> Tensor:
        """Returns the output of the backbone and input of the head, [B,D]."""
        return self.backbone(self.normalize(images_BCHW).contiguous(memory_format=torch.channels_last))

    def size_error(self, size_px: tuple[int, int]) -> str | None:
        """Returns why the network, on the CPU, cannot process crops of this height and width; None if it can."""
        architecture = self.settings.get("architecture")
        if architecture is None or architecture in RESNETS:  # these take any size
            return None
        return size_error(architecture, self.backbone, size_px)

    @property
    def has_open_vocabulary(self) -> bool:
        """Whether the head can predict numbers that are not among the labels."""
        return isinstance(self.head, CompositionalHead)

    def open_vocabulary_logits(self, images_BCHW: Tensor) -> Tensor:
        """Returns logits [B,N] of every string of at most two digits; see `open_vocabulary_logits_of_features`."""
        return self.open_vocabulary_logits_of_features(self.features(images_BCHW))

    def open_vocabulary_logits_of_features(self, features_BD: Tensor) -> Tensor:
        """Returns logits [B,N] of `jersey.models.parts.NUMBERS` from the output of `features`.

        Raises:
            UserError: the head is not compositional.
        """
        if not isinstance(self.head, CompositionalHead):
            raise UserError(
                "this network has a holistic head, which can only predict its labels; train one with the "
                "compositional head (module.network.head)"
            )
        return self.head.open_vocabulary_logits(features_BD)

    def half_precision(self) -> "Network":
        """Returns a copy with backbone and head in float16.

        Normalization stays in float32, because in float16 interpolated pixels would round differently from training.
        """
        copied = copy.deepcopy(self)
        normalize = nn.Sequential(copied.normalize, _ToHalf())
        return Network(copied.backbone.half(), copied.head.half(), normalize, self.settings).train(self.training)


class _ToHalf(nn.Module):
    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        return pixels_BCHW.half()


def classifier(
    *,
    labels: Labels,
    architecture: str = "resnet18",
    weights: str | None = "imagenet",
    stem: Stem = "imagenet",
    normalization: Normalization = "imagenet",
    head: Callable[..., nn.Module] = linear_head,
) -> Network:
    """Returns a network with a backbone of torchvision or timm and a head, in channels-last memory format.

    Args:
        labels: label map of K labels.
        architecture: name of a classifier of torchvision, or "timm:NAME" for one of timm.
        weights: "imagenet", "reader", the path of a run folder or file (see `jersey.models.weight_files`), or None for
            random weights.
        stem: "imagenet", or "small" for twice the resolution; see `jersey.models.backbones.build_backbone`.
        normalization: "imagenet" or "per_image"; see `jersey.models.normalization.normalizer`.
        head: function of `features`, their count, and `labels`; see `jersey.models.heads`.

    Raises:
        UserError: there is no such network, the weights cannot be loaded, or the head cannot represent the labels.
    """
    backbone, features = build_backbone(architecture, stem=stem)
    built_head = head(features=features, labels=labels)
    settings: dict[str, str] = {"stem": stem, "normalization": normalization}
    network = Network(backbone, built_head, normalizer(normalization), settings | {"architecture": architecture})
    if weights is not None:
        network.initial_weights = weights
        network.pretrained_size_px = load_weights(
            backbone, built_head, weights=weights, architecture=architecture, labels=labels, settings=settings
        )
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
