"""Loads what fits of pretrained weights into a network: the backbone, the digit parts of the head, rows of its labels.

Another number of classes is normal. Another architecture, stem or normalization is refused, because the weights would
compute something else.

Shapes: D features, K classes.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.models.backbones import statistics_remark
from jersey.models.heads import CompositionalHead
from jersey.models.parts import PARTS
from jersey.models.weight_files import Source, read_weights

log = logging.getLogger(__name__)

_is_skipped = ContextVar("_is_skipped", default=False)


@contextmanager
def skip_weights() -> Iterator[None]:
    """Leaves networks that are built in the body at random weights, because a checkpoint will replace them.

    So a run can be resumed or evaluated after the source of its weights is gone.
    """
    token = _is_skipped.set(True)
    try:
        yield
    finally:
        _is_skipped.reset(token)


def load_weights(
    backbone: nn.Module,
    head: nn.Module,
    *,
    weights: str,
    architecture: str,
    labels: Labels,
    settings: Mapping[str, str],
) -> tuple[int, int] | None:
    """Loads pretrained weights, and logs in one line what was loaded.

    Args:
        backbone: backbone of the network.
        head: head of the network.
        weights: "imagenet", "reader", or the path of a run folder or file; see `jersey.models.weight_files`.
        architecture: name of the backbone; see `jersey.models.backbones.build_backbone`.
        labels: label map of the head.
        settings: "stem" and "normalization" of the network.

    Returns:
        Height and width in pixels of the crops of their training; None if unknown, or if nothing was loaded.

    Raises:
        UserError: the weights cannot be read, or are those of another network.
    """
    if _is_skipped.get():
        return None
    source = read_weights(weights, architecture=architecture, backbone=backbone)
    _require_same(source, {"architecture": architecture, **settings})
    backbone.load_state_dict(versioned(source.backbone, backbone), strict=False)  # it lacks the batch counters
    loaded = [f"the backbone ({architecture}, {len(source.backbone)} tensors)", *_load_head(head, source, labels)]
    if "normalization" not in source.settings and settings["normalization"] != "imagenet":
        loaded.append(
            "the file does not record its normalization, which is usually imagenet, and the config has "
            f"module.network.normalization={settings['normalization']}"
        )
    if weights == "imagenet" and (remark := statistics_remark(architecture)):
        loaded.append(remark)
    log.info("weights of %s: %s", weights, "; ".join(loaded))
    return source.size_px


def versioned(state: Mapping[str, Tensor], module: nn.Module) -> OrderedDict[str, Tensor]:
    """Returns the state with the versions of the layers of `module`, which torchvision's MNASNet requires.

    They are lost where a file is read as tensors only.
    """
    found = OrderedDict(state)
    found._metadata = getattr(module.state_dict(), "_metadata", {})  # type: ignore[attr-defined]  # as torch stores it
    return found


def _require_same(source: Source, settings: Mapping[str, str]) -> None:
    """Raises UserError if the network differs from that of the weights in a setting that they record."""
    for name, there in {"architecture": source.architecture, **source.settings}.items():
        if there != settings[name]:
            raise UserError(
                f"module.network.weights={source.name} has the weights of a network with {name}={there}, and the "
                f"config has {settings[name]}; set module.network.{name}={there}, or choose other weights"
            )


@torch.no_grad()
def _load_head(head: nn.Module, source: Source, labels: Labels) -> Iterator[str]:
    """Loads what fits of the head, and yields its description."""
    holistic, prefix = (head.holistic, "holistic.") if isinstance(head, CompositionalHead) else (head, "")
    if source.labels is None or not isinstance(holistic, nn.Linear):
        yield "nothing of the head"
        return
    rows, features = len(source.labels), holistic.in_features
    shapes: dict[str, tuple[int, ...]] = {f"{prefix}weight": (rows, features), f"{prefix}bias": (rows,)}
    if isinstance(head, CompositionalHead):
        shapes |= {"parts.weight": (PARTS, features), "parts.bias": (PARTS,)}
    # The exporter leaves out a bias of zeros.
    state = {name: source.head.get(name, torch.zeros(shape[0])) for name, shape in shapes.items()}
    if any(state[name].shape != shape for name, shape in shapes.items()):
        yield "nothing of the head, which is of another kind"
        return
    if isinstance(head, CompositionalHead):
        head.parts.weight.copy_(state["parts.weight"])
        head.parts.bias.copy_(state["parts.bias"])
        yield "the digit parts of the head"
        nn.init.zeros_(holistic.weight)  # the digits alone decide about labels that the source lacks
        nn.init.zeros_(holistic.bias)
    common = [name for name in labels.names if name in source.labels.class_to_idx]
    here, there = ([each.class_to_idx[name] for name in common] for each in (labels, source.labels))
    holistic.weight[here] = state[f"{prefix}weight"][there].to(holistic.weight)
    holistic.bias[here] = state[f"{prefix}bias"][there].to(holistic.bias)
    yield f"{len(common)} of {len(labels)} rows of the labels"
