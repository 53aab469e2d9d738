"""Optimizers of a module: parameter groups, the update rule, the learning rate of every step, and resumed runs."""

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from helpers.small_run import EPOCHS, STEPS, assert_same_training, fitted, tiny_data, tiny_module
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from jersey.callbacks.ema import EMA
from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.data.datamodule import JerseyDataModule
from jersey.models.heads import CompositionalHead, linear_head
from jersey.models.network import Network, classifier
from jersey.training.optimizers import adamw, param_groups, sgd, torch_optimizer
from jersey.training.schedules import constant, multi_step, one_cycle, warmup_cosine

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like

SCHEDULES = [
    partial(warmup_cosine, warmup_frac=0.2),
    partial(one_cycle, final_frac=0.01),
    partial(multi_step, milestones_frac=(0.25, 0.5)),
    partial(constant, warmup_frac=0.5),
    partial(OneCycleLR, max_lr=0.02),
]
OPTIMIZERS = [
    partial(sgd, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    partial(adamw, lr=0.01, weight_decay=0.05),
]


def small_network() -> Network:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.Flatten(), nn.LayerNorm(4))
    return Network(backbone, nn.Linear(4, 2))


NETWORKS = [small_network] + [
    partial(classifier, labels=Labels(tuple("0123456")), weights=None, head=head)
    for head in (linear_head, CompositionalHead)
]


@pytest.mark.parametrize("scale", [0.25, 0.0])
@pytest.mark.parametrize("make", NETWORKS)
def test_every_parameter_is_in_one_group_with_its_decay_and_rate(make: Callable[[], Network], scale: float) -> None:
    network = make()
    groups = param_groups(network, lr=2e-3, weight_decay=0.05, backbone_lr_scale=scale)
    members = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(members) == sorted(id(parameter) for parameter in network.parameters())
    group_of = {id(parameter): group for group in groups for parameter in group["params"]}
    norms = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
    for part, rate in ((network.backbone, scale * 2e-3), (network.head, 2e-3)):
        for module in part.modules():
            for name, parameter in module.named_parameters(recurse=False):
                is_excluded = isinstance(module, norms) or name == "bias"
                group = group_of[id(parameter)]
                assert (group["weight_decay"], group["lr"]) == (0.0 if is_excluded else 0.05, rate), (module, name)


def test_frozen_parameters_are_excluded_and_no_group_is_empty() -> None:
    network = small_network()
    network.backbone.requires_grad_(False)
    network.head.bias.requires_grad_(False)
    groups = param_groups(network, lr=1e-3, weight_decay=0.05, backbone_lr_scale=1.0)
    assert [(group["name"], group["params"]) for group in groups] == [("head_decay", [network.head.weight])]


def test_any_torch_optimizer_takes_the_groups_and_its_own_settings() -> None:
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
def test_optimizer_without_weight_decay_is_rejected(make: Callable[..., torch.optim.Optimizer]) -> None:
    with pytest.raises(UserError, match=r"module\.optimizer\.make=(Rprop|LBFGS) has no weight_decay; choose another"):
        torch_optimizer(small_network(), make=make, lr=0.1)


@pytest.mark.parametrize(
    ("optimizer", "fused"),
    [
        (adamw, [True, None]),
        (sgd, [True, None]),
        (partial(torch_optimizer, make=torch.optim.Adam), [True, None]),
        (partial(torch_optimizer, make=partial(torch.optim.AdamW, fused=False)), [False, False]),
    ],
)
def test_kernels_are_fused_unless_forbidden(optimizer: Any, fused: list[bool | None]) -> None:
    assert [optimizer(small_network(), lr=0.1, may_fuse=each).defaults["fused"] for each in (True, False)] == fused


class RateRecorder(Callback):
    """Records the learning rate of every optimizer step."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])


@pytest.fixture(scope="module")
def data(crops_root: Path) -> JerseyDataModule:
    return tiny_data(crops_root)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_momentum_matches_its_formula(data: JerseyDataModule, nesterov: bool) -> None:
    """Two steps have gradient 1: the velocity is 1 + decay, then 0.9 of that plus the new gradient."""
    half = partial(sgd, lr=0.1, backbone_lr_scale=0.5, momentum=0.9, nesterov=nesterov, weight_decay=0.5)
    module = tiny_module(data, optimizer=half, schedule=constant)
    optimizer, _ = module.optimizer_and_schedule(2)
    expected = {}
    for name, weight in module.network.named_parameters():
        decay, lr = (0.5 if weight.ndim > 1 else 0.0), {"backbone": 0.05, "head": 0.1}[name.partition(".")[0]]
        value, velocity = weight.detach().clone(), torch.zeros_like(weight)
        for _ in range(2):
            gradient = 1 + decay * value
            velocity = 0.9 * velocity + gradient
            value = value - lr * (gradient + 0.9 * velocity if nesterov else velocity)
        expected[name] = value
    for _ in range(2):
        for weight in module.network.parameters():
            weight.grad = torch.ones_like(weight)
        optimizer.step()
    for name, weight in module.network.named_parameters():
        torch.testing.assert_close(weight.detach(), expected[name])


@pytest.mark.parametrize(
    ("schedule", "optimizer", "accumulate"),
    [*zip(SCHEDULES, itertools.cycle(OPTIMIZERS), itertools.cycle([1, 4]), strict=False)],
)
def test_every_step_has_its_scheduled_rate_and_a_resumed_run_is_identical(
    data: JerseyDataModule, tmp_path: Path, schedule: Any, optimizer: Any, accumulate: int
) -> None:
    def run(name: str, *callbacks: Callback, stop_after: int | None = None) -> dict[str, Any]:
        module = tiny_module(data, schedule=schedule, optimizer=optimizer)
        ema = EMA(half_life_epochs=0.3)
        folder = tmp_path / name
        return fitted(folder, data, module, ema, *callbacks, stop_after=stop_after, accumulate=accumulate)

    recorder, steps, expected = RateRecorder(), EPOCHS * -(-STEPS // accumulate), []
    whole = run("whole", recorder)
    run("parts", stop_after=2)
    assert_same_training(run("parts"), whole)
    made, scheduler = tiny_module(data, schedule=schedule, optimizer=optimizer).optimizer_and_schedule(steps)
    for _ in range(steps):
        expected.append(made.param_groups[0]["lr"])
        made.step()
        scheduler.step()
    assert recorder.rates == expected
