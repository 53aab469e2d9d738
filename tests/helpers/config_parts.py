"""Parts that a user may write, for the tests of simulated effects and findings."""

import functools
from collections.abc import Callable
from typing import Any

import helpers.registered  # noqa: F401  # its import registers the experiments
from lightning.pytorch.callbacks import WeightAveraging
from torch import Generator, Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR, OneCycleLR

from jersey import config as configs
from jersey.augment.base import Augmentation
from jersey.core.labels import Labels
from jersey.models.network import Network


def in_steps(optimizer: Optimizer, *, total_steps: int, milestones: tuple[int, ...], gamma: float) -> MultiStepLR:
    return MultiStepLR(optimizer, milestones=list(milestones), gamma=gamma)


def one_cycle(optimizer: Optimizer, *, total_steps: int, max_lr: float, base_momentum: float = 0.85) -> OneCycleLR:
    return OneCycleLR(optimizer, max_lr=max_lr, total_steps=total_steps, base_momentum=base_momentum)


def rising(optimizer: Optimizer, *, total_steps: int) -> LambdaLR:
    return LambdaLR(optimizer, lambda step: (step + 1) / total_steps)


def broken(optimizer: Optimizer, *, total_steps: int) -> LRScheduler:
    raise RuntimeError("no schedule\ntoday")


class PlainLoss(nn.Module):
    """Accepts class weights and ignores them."""

    def forward(self, logits_BK: Tensor, labels_B: Tensor, class_weights_K: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits_BK, labels_B)


class Either(Augmentation):
    """Wraps another operation."""

    def __init__(self, *, inner: Augmentation) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        return self.inner(images_BCHW, generator)


class EveryEpoch(WeightAveraging):
    """Weight averaging without a decay."""


def brighten(images_BCHW: Tensor, generator: Generator) -> Tensor:
    return images_BCHW.float() + 10


def brightener() -> Callable[..., Tensor]:
    return brighten


def tiny_network(*, labels: Labels) -> Network:
    """Computes eight features of an image's mean color."""
    backbone = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 8, bias=False))
    return Network(backbone, nn.Linear(8, len(labels)))


def weighted_network(*, labels: Labels, weights: str | None) -> Network:
    """Takes an argument `weights`, as the real network does."""
    return tiny_network(labels=labels)


def named(**members: Any) -> dict[str, Any]:
    return members


Change = Callable[[Any], None]


def baseline(*changes: str | Change, name: str = "resnet18_baseline") -> Any:
    """Returns the config of an experiment, changed by overrides and functions."""
    config = configs.get_experiment(name)()
    for change in changes:
        configs.apply_override(config, change) if isinstance(change, str) else change(config)
    return config


def part(path: str, value: Any) -> Change:
    """Returns a change that sets the full `path` of a config to `value`."""
    *parents, name = path.split(".")
    return lambda config: setattr(functools.reduce(getattr, parents, config), name, value)
