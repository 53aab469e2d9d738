"""Builds backbones: the image classifiers of torchvision and, as "timm:NAME", of timm, without their classifier."""

import difflib
import importlib.util
from typing import Any, Literal

import torch
from torch import nn
from torchvision import models

from jersey.core.errors import UserError, shorten

RESNETS = ("resnet18", "resnet34", "resnet50")
"""The ResNets (https://arxiv.org/abs/1512.03385) that are recognized by their weights, also in an exported file."""
TIMM = "timm:"
Stem = Literal["imagenet", "small"]

_CLASSES = 1000  # of ImageNet, by which the classifier is found


def build_backbone(architecture: str, *, stem: Stem = "imagenet", pretrained: bool = False) -> tuple[nn.Module, int]:
    """Returns a network without its classifier.

    Args:
        architecture: name of a classifier of torchvision, or "timm:NAME".
        stem: layers before the first stage. "imagenet" is that of the papers. A ResNet has a convolution and a
            max-pooling of stride 2 each. The output stride is then 4 px, and 32 px after the last stage, which leaves
            2 x 2 positions of a crop of 64 px. "small" omits a pooling named `maxpool`, as ResNets have, else the
            stride of the first convolution. The network has twice the resolution in all stages, four times the FLOPs,
            and the same weights, so pretrained ones can be loaded.
        pretrained: whether the library loads its ImageNet weights, which it downloads once; random weights otherwise.

    Returns:
        Module from float [B,3,H,W] to features [B,D], and D.

    Raises:
        UserError: there is no such network, or its stem cannot be made small.
    """
    if sentence := name_error(architecture):
        raise UserError(sentence)
    build = _timm_backbone if architecture.startswith(TIMM) else _torchvision_backbone
    backbone, features = build(architecture.removeprefix(TIMM), pretrained)
    if stem == "small":
        _omit_a_stride(backbone, architecture)
    return backbone, features


def name_error(architecture: str) -> str | None:
    """Returns why there is no backbone with this name, as a sentence; None if there is one."""
    prefix, name = (TIMM, architecture.removeprefix(TIMM)) if architecture.startswith(TIMM) else ("", architecture)
    start = f"module.network.architecture={shorten(architecture)}"
    if prefix and importlib.util.find_spec("timm") is None:
        return f'{start} needs the package timm; run pip install "jersey[timm]", or choose one of torchvision'
    known = _timm_names() if prefix else models.list_models(module=models)
    if name in known:
        return None
    similar = [f"{prefix}{each}" for each in difflib.get_close_matches(name, known, n=3)]
    advice = f"did you mean {' or '.join(similar)}?" if similar else "choose one such as resnet18 or mobilenet_v3_small"
    return f"{start} is no classifier of {prefix.removesuffix(':') or 'torchvision'}; {advice}"


def size_error(architecture: str, backbone: nn.Module, size_px: tuple[int, int]) -> str | None:
    """Returns why the backbone cannot compute features of crops of a size, as a sentence; None if it can.

    Args:
        architecture: name of the backbone.
        backbone: module from float [B,3,H,W] to features [B,D], on the CPU, which computes those of two crops.
        size_px: height and width of the crops.
    """
    was_training = backbone.training
    try:
        with torch.no_grad():
            backbone.eval()(torch.zeros(2, 3, *size_px))
    except Exception as error:  # some networks assert their input size, others have no positions left
        reason = (str(error) or type(error).__name__).partition("\n")[0]
        here, there = ("({},{})".format(*each) for each in (size_px, _size_px(architecture)))
        return (
            f"module.network.architecture={architecture} cannot process crops of data.size_px={here} ({reason}); "
            f"set data.size_px={there}"
        )
    finally:
        backbone.train(was_training)
    return None


def pretrained_url(architecture: str) -> str:
    """Returns the address of the weights that a library loads; "" if it has none."""
    if not architecture.startswith(TIMM):
        return str(models.get_model_weights(architecture).DEFAULT.url)
    import timm

    repository = timm.get_pretrained_cfg(architecture.removeprefix(TIMM)).hf_hub_id
    return f"https://huggingface.co/{repository}/resolve/main/model.safetensors" if repository else ""


def statistics_remark(architecture: str) -> str:
    """Returns the means and standard deviations of a library's weights if they are not those of ImageNet, else ""."""
    if not architecture.startswith(TIMM):
        return ""
    import timm
    from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    weights = timm.get_pretrained_cfg(architecture.removeprefix(TIMM))
    if (weights.mean, weights.std) == (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD):
        return ""
    return f"timm normalized by mean {weights.mean} and std {weights.std} for them, and jersey uses others"


def _torchvision_backbone(name: str, pretrained: bool) -> tuple[nn.Module, int]:
    if (
        pretrained
    ):  # the builder would unpickle the file; when this has succeeded, the file in the cache is only tensors
        models.get_model_weights(name).DEFAULT.get_state_dict(progress=True, check_hash=True, weights_only=True)
    is_inception = name in ("googlenet", "inception_v3")
    initial = {"init_weights": False} if is_inception else {}  # their own initialization takes seconds
    network: Any = models.get_model(name, weights="DEFAULT" if pretrained else None, **initial)
    if is_inception:
        network.transform_input = True  # their weights expect it; torchvision does not set it for random weights
        network.aux_logits = False
        for auxiliary in ("aux1", "aux2", "AuxLogits"):  # classifiers for training only
            if hasattr(network, auxiliary):
                setattr(network, auxiliary, None)
    path, classifier = next((path, layer) for path, layer in reversed(list(network.named_modules())) if _classes(layer))
    parent, _, attribute = path.rpartition(".")
    setattr(network.get_submodule(parent), attribute, nn.Identity())
    return network, classifier.in_features if isinstance(classifier, nn.Linear) else classifier.in_channels


def _classes(layer: nn.Module) -> bool:
    """Whether the layer computes a logit per class; that of SqueezeNet is a convolution."""
    return _CLASSES in (getattr(layer, "out_features", 0), getattr(layer, "out_channels", 0))


def _timm_backbone(name: str, pretrained: bool) -> tuple[nn.Module, int]:
    import timm  # takes seconds to import, and is optional

    network: Any = timm.create_model(name, pretrained=pretrained, num_classes=0)
    return network, network.head_hidden_size


def _timm_names() -> list[str]:
    import timm

    return timm.list_models() + timm.list_pretrained()


def _size_px(architecture: str) -> tuple[int, int]:
    """Returns the height and width in pixels of the crops for which the library has made the network."""
    if not architecture.startswith(TIMM):
        size_px = models.get_model_weights(architecture).DEFAULT.transforms().crop_size[0]
        return size_px, size_px
    import timm

    _, height_px, width_px = timm.get_pretrained_cfg(architecture.removeprefix(TIMM)).input_size
    return height_px, width_px


def _omit_a_stride(backbone: Any, architecture: str) -> None:
    """Doubles the resolution after the stem."""
    if isinstance(getattr(backbone, "maxpool", None), nn.MaxPool2d):
        backbone.maxpool = nn.Identity()
        return
    first = next((layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d)), None)
    if first is None or first.stride != (2, 2):
        raise UserError(
            f"module.network.stem=small halves a stride of 2, and the first convolution of {architecture} has "
            "another; set module.network.stem=imagenet"
        )
    first.stride = (1, 1)
