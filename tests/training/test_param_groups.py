"""Every trainable parameter in exactly one group, each with the right decay and learning rate."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.models.heads import CompositionalHead, linear_head
from jersey.models.network import Network, resnet_classifier
from jersey.training.optimizers import adamw, param_groups, sgd, torch_optimizer


@pytest.fixture(scope="module", params=[linear_head, CompositionalHead])
def network(request: pytest.FixtureRequest) -> Network:
    return resnet_classifier(labels=Labels(tuple("0123456")), weights=None, head=request.param)


def small_network() -> Network:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.Flatten(), nn.LayerNorm(4))
    return Network(backbone, nn.Linear(4, 2))


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.0])
def test_every_trainable_parameter_is_in_exactly_one_group(network: Network, scale: float) -> None:
    groups = param_groups(network, lr=1e-3, weight_decay=0.05, backbone_lr_scale=scale)
    members = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(members) == sorted(id(parameter) for parameter in network.parameters())


def test_norm_and_bias_do_not_decay_and_all_else_does(network: Network) -> None:
    for part in (network, small_network()):
        groups = param_groups(part, lr=1e-3, weight_decay=0.05, backbone_lr_scale=0.5)
        decay_of = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
        norms = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
        for module in part.modules():
            for name, parameter in module.named_parameters(recurse=False):
                spared = isinstance(module, norms) or name == "bias"
                assert decay_of[id(parameter)] == (0.0 if spared else 0.05), (module, name)


def test_the_backbone_learns_at_its_share_of_the_rate(network: Network) -> None:
    groups = param_groups(network, lr=2e-3, weight_decay=0.05, backbone_lr_scale=0.25)
    rate_of = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert {rate_of[id(p)] for p in network.head.parameters()} == {2e-3}
    for parameter in network.backbone.parameters():
        assert rate_of[id(parameter)] == pytest.approx(5e-4)


def test_frozen_parameters_are_left_out_and_no_group_is_empty() -> None:
    network = small_network()
    network.backbone.requires_grad_(False)
    network.head.bias.requires_grad_(False)
    groups = param_groups(network, lr=1e-3, weight_decay=0.05, backbone_lr_scale=1.0)
    assert [group["name"] for group in groups] == ["head_decay"]
    assert groups[0]["params"] == [network.head.weight]


def test_a_scale_of_zero_keeps_the_backbone_and_moves_the_head() -> None:
    network = small_network()
    before = {name: value.clone() for name, value in network.named_parameters()}
    groups = param_groups(network, lr=0.1, weight_decay=0.5, backbone_lr_scale=0.0)
    optimizer = torch.optim.AdamW(groups)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, before[name]) == name.startswith("backbone"), name


def test_any_optimizer_of_torch_takes_the_groups_and_its_own_settings() -> None:
    make = partial(torch.optim.Adagrad, eps=0.5)
    optimizer = torch_optimizer(small_network(), make=make, lr=0.1, weight_decay=0.2, backbone_lr_scale=0.5)
    settings = [(group["name"], group["lr"], group["weight_decay"], group["eps"]) for group in optimizer.param_groups]
    assert settings == [
        ("backbone_decay", 0.05, 0.2, 0.5),
        ("backbone_no_decay", 0.05, 0.0, 0.5),
        ("head_decay", 0.1, 0.2, 0.5),
        ("head_no_decay", 0.1, 0.0, 0.5),
    ]


@pytest.mark.parametrize("make", [torch.optim.Rprop, partial(torch.optim.LBFGS, lr=1.0)])
def test_an_optimizer_without_weight_decay_is_refused(make: Callable[..., torch.optim.Optimizer]) -> None:
    with pytest.raises(UserError, match=r"module\.optimizer\.make=(Rprop|LBFGS) takes no weight_decay; choose another"):
        torch_optimizer(small_network(), make=make, lr=0.1)


@pytest.mark.parametrize(
    "optimizer", [partial(adamw, lr=0.1), partial(sgd, lr=0.1), partial(torch_optimizer, make=torch.optim.Adam, lr=0.1)]
)
def test_kernels_are_fused_where_they_may_be(optimizer: Callable[..., torch.optim.Optimizer]) -> None:
    fused = [optimizer(small_network(), may_fuse=may_fuse).defaults["fused"] for may_fuse in (True, False)]
    assert fused == [True, None]


def test_fused_kernels_can_be_refused() -> None:
    unfused = torch_optimizer(small_network(), make=partial(torch.optim.AdamW, fused=False), lr=0.1)
    assert unfused.defaults["fused"] is False
