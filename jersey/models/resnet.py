"""Provides torchvision's ResNets (https://arxiv.org/abs/1512.03385) with ImageNet, local or random weights."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision import models

from jersey.core.errors import UserError

Architecture = Literal["resnet18", "resnet34", "resnet50"]
Stem = Literal["imagenet", "small"]


def resnet(architecture: Architecture, *, weights: str | None, stem: Stem = "imagenet") -> tuple[nn.Module, int]:
    """Returns a ResNet without its classifier.

    Args:
        architecture: name of the ResNet.
        weights: "imagenet", the path of a torchvision state dict (.pth), or None for random weights.
        stem: layers before the first stage. "imagenet" is the paper's: a convolution and a max-pooling of stride 2
            each. The output stride is then 4 px, and 32 px after the last stage, which leaves 2 x 2 positions of a
            crop of 64 px. "small" omits the pooling. It has twice the resolution in all stages, four times the FLOPs,
            and the same weights, so pretrained ones can be loaded.

    Returns:
        Module from float [B,3,H,W] to features [B,D], and D.

    Raises:
        UserError: the weights cannot be downloaded or read, or do not fit the architecture.
    """
    backbone = models.get_model(architecture, weights=None)
    features = backbone.fc.in_features
    backbone.fc = nn.Identity()
    if stem == "small":
        backbone.maxpool = nn.Identity()
    if weights == "imagenet":
        _load(backbone, _download(architecture), source=f"the ImageNet weights of {architecture}")
    elif weights is not None:
        _load(backbone, _read(Path(weights)), source=weights)
    return backbone, features


def _download(architecture: Architecture) -> dict[str, Tensor]:
    choice = models.get_model_weights(architecture).DEFAULT
    try:
        return choice.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except Exception as error:  # no network, a wrong hash, or a damaged file in torch's cache (see `_read`)
        raise UserError(
            f"cannot download the ImageNet weights of {architecture} ({_reason(error)}); download {choice.url} on a "
            f"machine with a network and set module.network.weights=/path/to/{Path(choice.url).name}, or train "
            "from scratch with module.network.weights=None"
        ) from None


def _read(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch parses any text as pickle opcodes, which can raise almost any exception
        raise UserError(
            f"cannot read module.network.weights={path} ({_reason(error)}); give a torchvision .pth file"
        ) from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"module.network.weights={path} contains no state dict; give a torchvision .pth file")
    return state


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _load(backbone: nn.Module, state: dict[str, Tensor], *, source: str) -> None:
    """Loads all weights except the classifier's, strictly."""
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{source} does not fit the architecture of module.network ({reason}); choose a matching file"
        ) from None
