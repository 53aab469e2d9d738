"""Which parameter decays, and which learns at the backbone's rate."""

from typing import Any

from torch import nn

from jersey.models.network import Network


def param_groups(network: Network, *, lr: float, weight_decay: float, backbone_lr_scale: float) -> list[dict[str, Any]]:
    """Groups for a torch optimizer: {backbone, head} x {decay, no decay}, empty ones left out.

    Biases and normalisation parameters (all those of one dimension) do not decay, since shrinking them does not
    regularise: https://arxiv.org/abs/1812.01187, section 3.1.

    Args:
        lr: of the head.
        weight_decay: of the decaying groups.
        backbone_lr_scale: the backbone's learning rate as a share of the head's; 0 keeps its weights as they are
            (its batch statistics still follow the data).
    """
    groups = []
    parts: list[tuple[str, nn.Module, float]] = [
        ("backbone", network.backbone, backbone_lr_scale),
        ("head", network.head, 1.0),
    ]
    for name, part, lr_scale in parts:
        parameters = [parameter for parameter in part.parameters() if parameter.requires_grad]
        for suffix, decay, members in (
            ("decay", weight_decay, [p for p in parameters if p.ndim > 1]),
            ("no_decay", 0.0, [p for p in parameters if p.ndim <= 1]),
        ):
            if members:
                groups.append(
                    {"name": f"{name}_{suffix}", "params": members, "lr": lr * lr_scale, "weight_decay": decay}
                )
    return groups
