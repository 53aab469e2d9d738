"""Planted pairs of interacting values are found; one of the values alone and slightly lower values are not."""

from collections.abc import Mapping
from typing import Any

import fiddle as fdl
import numpy as np
import pytest
import torch
from helpers import config_parts, planted
from helpers.config_parts import Change, part
from helpers.planted import EQUAL, LONG_TAIL, SPLITS, baseline, splits
from lightning.pytorch.callbacks import StochasticWeightAveraging

from jersey.augment.color import Noise
from jersey.augment.erasing import RandomErasing
from jersey.augment.geometry import Geometry
from jersey.callbacks.ema import EMA
from jersey.callbacks.freezing import FreezeBackbone, FreezeBatchNorm
from jersey.data.sampler import BalancedSampler, class_weights
from jersey.data.split import Split
from jersey.lint.interactions import remaining_after_decay
from jersey.lint.simulate import effects
from jersey.models.network import classifier
from jersey.training.losses import LogitAdjustedLoss
from jersey.training.optimizers import adamw, torch_optimizer
from jersey.training.optimizers import sgd as sgd_optimizer

FACTORIES = {torch.optim.AdamW: adamw, torch.optim.SGD: sgd_optimizer}


def sentences(config: Any, data: Mapping[str, Split] | None = SPLITS) -> list[str]:
    return planted.sentences("interaction", config, data)


def sgd(**settings: float) -> Change:
    return part("module.optimizer", fdl.Partial(sgd_optimizer, **settings))


def weights(value: str | None, scale: float, *, frozen: float | None = None) -> Change:
    def change(config: Any) -> None:
        config.module.network = fdl.Partial(config_parts.weighted_network, weights=value)
        config.module.optimizer.backbone_lr_scale = scale
        config.trainer.callbacks.freeze = None if frozen is None else fdl.Config(FreezeBackbone, freeze_frac=frozen)

    return change


def pretrained(weights: str, normalization: str) -> Change:
    network = fdl.Partial(classifier, weights=weights, normalization=normalization)
    return part("module.network", network)


def stem(value: str) -> Change:
    return part("module.network", fdl.Partial(classifier, weights=None, stem=value))


def erasing(**settings: float) -> Change:
    return part("module.augment.erasing", fdl.Config(RandomErasing, **settings))


def adjusted(tau: float) -> Change:
    return part("module.loss", fdl.Config(LogitAdjustedLoss, tau=tau))


BOTH = ["class_weight_power=0.5", "allow_weights_and_sampler=True"]

PAIRS: list[tuple[list[str | Change], list[str]]] = [
    ([*BOTH], ["data.sampler_power=0.5", "module.class_weight_power=0.5"]),
    ([adjusted(1.0)], ["module.loss.tau=1.0", "data.sampler_power=0.5", "30 times balance the classes"]),
    (
        [adjusted(0.6), "sampler_power=0.0", "class_weight_power=0.5"],
        ["module.loss.tau=0.6", "module.class_weight_power=0.5"],
    ),
    ([part("module.augment.grain", fdl.Config(Noise, std=0.1))], ["module.augment.noise ", "module.augment.grain"]),
    (
        [part("trainer.callbacks.slow", fdl.Config(EMA, decay=0.9))],
        ["trainer.callbacks.ema ", "trainer.callbacks.slow"],
    ),
    (
        [part("trainer.callbacks.swa", fdl.Config(StochasticWeightAveraging, swa_lrs=1e-3))],
        ["trainer.callbacks.ema ", "trainer.callbacks.swa"],
    ),
    (["lr=0.1"], ["module.optimizer.lr=0.1", "module.optimizer.weight_decay=0.05"]),
    ([sgd(lr=0.05, momentum=0.9, weight_decay=0.01)], ["optimizer.lr=0.05", "module.optimizer.weight_decay=0.01"]),
    (["backbone_lr_scale=5.0"], ["module.optimizer.backbone_lr_scale=5.0", "module.optimizer.lr=0.0001"]),
    ([weights(None, 0.0)], ["module.network.weights=None", "module.optimizer.backbone_lr_scale=0"]),
    ([weights(None, 1.0, frozen=0.2)], ["module.network.weights=None", "trainer.callbacks.freeze.freeze_frac=0.2"]),
    (
        [weights(None, 1.0), part("trainer.callbacks.freeze", fdl.Config(FreezeBatchNorm))],
        ["module.network.weights=None", "trainer.callbacks.freeze "],
    ),
    ([weights(None, 0.0, frozen=1.0)], ["module.network.weights=None", "module.optimizer.backbone_lr_scale=0"]),
    (["size_px=200,128", stem("small")], ["module.network.stem='small'", "data.size_px=(200, 128)", "4 positions"]),
    ([pretrained("imagenet", "per_image")], ["weights='imagenet'", "module.network.normalization='per_image'"]),
    (["accumulate=34", "ema.decay=0.5"], ["data.batch_size=64", "trainer.accumulate=34"]),
    ([erasing(area=0.2, p=0.22)], ["module.augment.erasing.area=0.2", "module.augment.erasing.p=0.22"]),
    # Slightly lower values, or one value alone.
    (["sampler_power=1.0"], []),
    ([adjusted(0.5)], []),  # half by the sampler, half by the adjustment
    ([adjusted(2.0), "sampler_power=0.0"], []),
    (["class_weight_power=1.0", "sampler_power=0.0"], []),
    ([part("trainer.callbacks.ema", None)], []),
    (["lr=0.01"], []),  # 0.75 of a weight remains
    ([sgd(lr=0.05, momentum=0.0, weight_decay=0.01)], []),
    ([part("module.optimizer", fdl.Partial(torch_optimizer, make=torch.optim.Adam, lr=0.1, weight_decay=0.05))], []),
    (["backbone_lr_scale=1.0"], []),
    ([weights(None, 0.01)], []),
    ([weights("imagenet", 0.0)], []),
    ([weights("imagenet", 0.1, frozen=0.2)], []),
    ([weights(None, 1.0, frozen=0.0)], []),
    (["size_px=200,127", stem("small")], []),
    ([stem("imagenet")], []),
    ([pretrained("imagenet", "imagenet")], []),
    ([pretrained("reader", "per_image")], []),
    (["accumulate=33", "ema.decay=0.5"], []),  # two steps per epoch
    (["accumulate=35", "ema.decay=0.5"], []),  # reported as an accumulation beyond the epoch
    (["batch_size=2214", "ema.decay=0.5"], []),
    ([erasing(area=0.2, p=0.2)], []),
    ([erasing(area=0.1)], []),
]


@pytest.mark.parametrize(("changes", "paths"), PAIRS)
def test_a_pair_is_found_with_its_paths_and_slightly_lower_values_are_not(
    changes: list[str | Change], paths: list[str]
) -> None:
    found = sentences(baseline(*changes))
    assert len(found) == bool(paths)
    assert all(path in found[0] for path in paths), found


def test_two_wrappers_of_one_class_may_wrap_different_things() -> None:
    config = baseline()
    for name, inner in (("one", fdl.Config(Noise, std=0.1)), ("two", fdl.Config(Geometry, shift=0.1))):
        setattr(config.module.augment, name, fdl.Config(config_parts.Either, inner=inner))
    assert not any("Either" in sentence for sentence in sentences(config))


def test_no_interaction_is_found_without_class_counts_or_with_equal_ones() -> None:
    assert sentences(baseline(*BOTH), splits(EQUAL)) == []
    for overrides in (BOTH, ["lr=0.1"], ["accumulate=46"]):
        assert sentences(baseline(*overrides), None) == []


def test_both_kinds_of_balancing_are_reported_with_factors_and_product() -> None:
    """Compared with counted samples and the class weights: 120 crops of 0, 4 of 00."""
    (found,) = sentences(baseline("sampler_power=1.0", *BOTH))
    labels = sorted(LONG_TAIL, key=lambda name: (len(name), name))
    rare, common = labels.index("00"), labels.index("0")
    indices = [labels.index(label) for label in SPLITS["train"].labels]
    sampler = BalancedSampler(indices, power=1.0, seed=0)
    counts = np.mean([sampler.sampled_counts(epoch, num_classes=len(labels)) for epoch in range(100)], axis=0)
    oversampled = counts[rare] / counts[common] * 120 / 4
    weighted = class_weights([LONG_TAIL[name] for name in labels], power=0.5)
    weight_ratio = (weighted[rare] / weighted[common]).item()
    factors = [float(word) for word, after in zip(found.split(), found.split()[1:], strict=False) if "times" in after]
    assert factors == pytest.approx([oversampled, weight_ratio, oversampled * weight_ratio], rel=0.02)


def test_an_adjustment_beside_a_sampler_is_reported_with_factor_and_product() -> None:
    """120 crops of 0, 4 of 00: an adjustment with 1 is 30 times, a sampler with 0.5 the root of that."""
    (found,) = sentences(baseline(adjusted(1.0)))
    factors = [float(word) for word, after in zip(found.split(), found.split()[1:], strict=False) if "times" in after]
    assert factors == pytest.approx([30, 30**1.5, 30], rel=0.01)


def test_the_fraction_of_erased_crops_agrees_with_a_simulation() -> None:
    (found,) = sentences(baseline(erasing(area=0.3, p=0.6)))
    erased_BCHW = RandomErasing(area=0.3, p=0.6)(
        torch.full((4000, 1, 100, 100), -1.0), torch.Generator().manual_seed(0)
    )
    fraction = ((erased_BCHW >= 0).float().mean(dim=(1, 2, 3)) >= 0.1).float().mean().item()
    assert float(found.split()[-5]) / 100 == pytest.approx(fraction, abs=0.04)


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        (torch.optim.AdamW, {"lr": 0.05, "weight_decay": 0.04}),
        (torch.optim.SGD, {"lr": 0.05, "weight_decay": 0.02, "momentum": 0.0}),
        (torch.optim.SGD, {"lr": 0.02, "weight_decay": 0.01, "momentum": 0.9}),
    ],
)
def test_remaining_weight_agrees_with_the_optimizer_without_gradients(optimizer: Any, settings: Any) -> None:
    config = baseline(part("module.optimizer", fdl.Partial(FACTORIES[optimizer], **settings)))
    group = (effects(config, SPLITS).groups or {})["head_decay"]
    weight = torch.nn.Parameter(torch.ones(1))
    real = optimizer([weight], **settings)
    for rate in group.settings["lr"]:
        real.param_groups[0]["lr"] = rate
        weight.grad = torch.zeros(1)
        real.step()
    assert 0.1 < weight.item() < 0.9
    assert remaining_after_decay(group) == pytest.approx(weight.item(), rel=0.02)
