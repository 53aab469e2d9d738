"""Optimizers for a network: parameter groups, weight decay, the backbone's learning rate, and fused kernels.

A config names one of these functions, or one of your own, and sets its arguments. `JerseyModule` adds the network and
`may_fuse`, whether one kernel may update all weights.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer

from jersey.core.errors import UserError
from jersey.models.network import Network


def adamw(
    network: Network,
    *,
    lr: float,
    weight_decay: float = 0.01,
    backbone_lr_scale: float = 1.0,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    may_fuse: bool = True,
) -> Optimizer:
    """Returns AdamW, whose weight decay is decoupled from the gradient: https://arxiv.org/abs/1711.05101.

    Args:
        network: network to train.
        lr: peak learning rate of the head.
        weight_decay: decay of all weights but biases and normalization.
        backbone_lr_scale: learning rate of the backbone as a fraction of `lr`.
        betas: decay of the averages of the gradient and of its square.
        eps: term that avoids a division by zero.
        may_fuse: whether one kernel may update all weights.
    """
    groups = param_groups(network, lr, weight_decay, backbone_lr_scale)
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, fused=may_fuse or None)


def sgd(
    network: Network,
    *,
    lr: float,
    weight_decay: float = 0.0,
    backbone_lr_scale: float = 1.0,
    momentum: float = 0.0,
    nesterov: bool = False,
    may_fuse: bool = True,
) -> Optimizer:
    """Returns stochastic gradient descent with momentum.

    Args:
        network: network to train.
        lr: peak learning rate of the head.
        weight_decay: decay of all weights but biases and normalization.
        backbone_lr_scale: learning rate of the backbone as a fraction of `lr`.
        momentum: factor of the previous update, in [0, 1).
        nesterov: whether the gradient is taken after the momentum step.
        may_fuse: whether one kernel may update all weights.
    """
    groups = param_groups(network, lr, weight_decay, backbone_lr_scale)
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=may_fuse or None)


def torch_optimizer(
    network: Network,
    *,
    make: Callable[..., Optimizer],
    lr: float,
    weight_decay: float = 0.0,
    backbone_lr_scale: float = 1.0,
    may_fuse: bool = True,
) -> Optimizer:
    """Returns any torch optimizer.

    Args:
        network: network to train.
        make: class of the optimizer, or a partial of it with the settings that only this optimizer has.
        lr: peak learning rate of the head.
        weight_decay: decay of all weights but biases and normalization.
        backbone_lr_scale: learning rate of the backbone as a fraction of `lr`.
        may_fuse: whether one kernel may update all weights, if the optimizer has such a kernel.

    Raises:
        UserError: `make` has no argument `lr` or `weight_decay`.
    """
    defaults = {name: each.default for name, each in inspect.signature(make).parameters.items()}
    if missing := [name for name in ("lr", "weight_decay") if name not in defaults]:
        name = getattr(make.func if isinstance(make, partial) else make, "__name__", repr(make))
        raise UserError(f"module.optimizer.make={name} has no {' and no '.join(missing)}; choose another optimizer")
    groups = param_groups(network, lr, weight_decay, backbone_lr_scale)
    can_choose_kernel = {defaults.get(name, False) for name in ("fused", "foreach")} == {None}
    fused = {"fused": True} if may_fuse and can_choose_kernel else {}
    return make(groups, lr=lr, weight_decay=weight_decay, **fused)


def param_groups(network: Network, lr: float, weight_decay: float, backbone_lr_scale: float) -> list[dict[str, Any]]:
    """Returns the non-empty parameter groups of a torch optimizer: {backbone, head} x {decay, no decay}.

    Biases and normalization parameters (those with one dimension) do not decay, because shrinking them does not
    regularize: https://arxiv.org/abs/1812.01187, section 3.1. A `backbone_lr_scale` of 0 keeps the backbone's weights
    constant, while its batch statistics still follow the data.
    """
    groups: list[dict[str, Any]] = []
    for part, part_lr in (("backbone", lr * backbone_lr_scale), ("head", lr)):
        weights = [weight for weight in network.get_submodule(part).parameters() if weight.requires_grad]
        for suffix, decay, members in (
            ("decay", weight_decay, [weight for weight in weights if weight.ndim > 1]),
            ("no_decay", 0.0, [weight for weight in weights if weight.ndim <= 1]),
        ):
            groups.append({"name": f"{part}_{suffix}", "params": members, "lr": part_lr, "weight_decay": decay})
    return [group for group in groups if group["params"]]
