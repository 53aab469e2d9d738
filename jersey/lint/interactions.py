"""Pairs of values in a config that act on one thing, where the second adds to or multiplies the first.

Each alone is ordinary; together they do more than the one who set the second may have in mind. See `findings`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import fiddle as fdl
import torch
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging

from jersey.augment.base import Augmentation
from jersey.augment.erasing import Erasing
from jersey.augment.geometry import Geometry, project_grid
from jersey.callbacks.freeze_backbone import FreezeBackbone
from jersey.config.paths import read
from jersey.lint.simulate import Effects, Group, Rule, members

BACKBONE_SCALE = "module.optimizer.backbone_lr_scale"
STROKE_DEG = 45  # a stroke turned by more lies nearer to level than to upright
VISIBLE = 0.5  # less of a crop may show one of two digits
HIDING = 0.1  # of a crop; a digit is not much larger
HIDDEN = 0.1  # share of the crops with such a rectangle
ENOUGH_PX = 128  # from here on ResNet's own stem leaves four positions a side at the end
LEFT = 0.5  # of a weight that decays to less, most is gone without any gradient


def balanced_twice(config: fdl.Buildable, computed: Effects) -> str | None:
    sampler_power, weight_power = read(config, "data.sampler_power", 0), read(config, "module.weight_power", 0)
    present = {name: each for name, each in (computed.classes or {}).items() if each.crops}
    if not present or sampler_power <= 0 or weight_power <= 0:
        return None
    rare, common = (choose(present, key=lambda name: present[name].crops) for choose in (min, max))
    few, many = present[rare], present[common]
    if few.crops == many.crops:
        return None
    drawn = few.probability / many.probability * many.crops / few.crops
    weighted = few.weight / many.weight
    return (
        f"data.sampler_power={sampler_power} lifts {rare} ({few.crops:,} train crops) {drawn:.3g} times against"
        f" {common} ({many.crops:,}), module.weight_power={weight_power} {weighted:.3g} times, both together"
        f" {drawn * weighted:.3g} times"
    )


def one_kind_twice(config: fdl.Buildable, _: Effects) -> str | None:
    """What an operation wraps is its own business: two wrappers of one class may be there for different things."""
    alike = defaultdict(list)
    for path, operation in members(config, "module.augment", Augmentation).items():
        wraps = any(isinstance(value, fdl.Buildable) for value in fdl.ordered_arguments(operation).values())
        if path.rpartition(".")[0] == "module.augment" and not wraps:
            alike[fdl.get_callable(operation).__name__].append(path)
    for name, paths in alike.items():
        if len(paths) > 1:
            return f"{' and '.join(paths)} are all {name}: their changes add up"
    return None


def averaged_twice(config: fdl.Buildable, _: Effects) -> str | None:
    averages = members(config, "trainer.callbacks", (WeightAveraging, StochasticWeightAveraging))
    return f"{' and '.join(averages)} average the weights, each what the other left" if len(averages) > 1 else None


def decay_alone_shrinks(config: fdl.Buildable, computed: Effects) -> str | None:
    if computed.assumed:
        return None
    groups = [
        each
        for each in (computed.groups or {}).values()
        if "dampening" in each.settings or each.settings.get("decoupled_weight_decay")  # of SGD; of AdamW
    ]
    left = min(map(_left_of_weights, groups), default=1.0)
    if left >= LEFT:
        return None
    lr, decay = read(config, "module.optimizer.lr"), read(config, "module.optimizer.weight_decay")
    return (
        f"module.optimizer.lr={lr} and module.optimizer.weight_decay={decay} over {computed.steps:,} steps shrink a"
        f" weight without gradient to {left:.2g} of its value"
    )


def _left_of_weights(group: Group) -> float:
    """Share of a weight after the run when only decay acts, in AdamW and in SGD, whose momentum multiplies it.

    Adam's own decay passes through its normalisation, where its size is lost.
    """
    decay, momentum = group.settings.get("weight_decay", 0), group.settings.get("momentum", 0)
    return math.exp(-sum(group.curves["lr"]) * decay / (1 - momentum))


def backbone_above_the_head(config: fdl.Buildable, _: Effects) -> str | None:
    scale, lr = read(config, BACKBONE_SCALE, 1), read(config, "module.optimizer.lr")
    if scale <= 1 or lr is None:
        return None
    return f"{BACKBONE_SCALE}={scale} times module.optimizer.lr={lr} is {scale * lr:.3g}, above the head's rate"


def backbone_stays_random(config: fdl.Buildable, _: Effects) -> str | None:
    weights, scale = read(config, "module.network.weights", "not there"), read(config, BACKBONE_SCALE, 1)
    together = f"module.network.weights=None and {BACKBONE_SCALE}=0 leave the backbone at its random start"
    return together if weights is None and scale == 0 else None


def frozen_while_random(config: fdl.Buildable, _: Effects) -> str | None:
    is_random = read(config, "module.network.weights", "not there") is None
    learns = read(config, BACKBONE_SCALE, 1) != 0  # else `backbone_stays_random`
    for path, frac in _frozen(config).items():
        if is_random and learns and frac > 0:
            return f"module.network.weights=None and {path}={frac} keep a random backbone as it is"
    return None


def thawed_to_stand_still(config: fdl.Buildable, _: Effects) -> str | None:
    for path, frac in _frozen(config).items():
        if 0 < frac < 1 and read(config, BACKBONE_SCALE, 1) == 0:
            return (
                f"{BACKBONE_SCALE}=0 holds the weights that {path}={frac} lets go: from there on only batch"
                " statistics move"
            )
    return None


def _frozen(config: fdl.Buildable) -> dict[str, float]:
    """The share of the run for which the backbone stands still, by path."""
    paths = [f"{path}.frac" for path in members(config, "trainer.callbacks", FreezeBackbone)]
    return {path: read(config, path, 0.0) for path in paths}


def small_stem_of_large_crops(config: fdl.Buildable, _: Effects) -> str | None:
    size_px = read(config, "data.size_px")
    if read(config, "module.network.stem") != "small" or not isinstance(size_px, tuple) or min(size_px) < ENOUGH_PX:
        return None
    return (
        f"module.network.stem='small' at data.size_px={size_px} takes about four times the arithmetic of the imagenet"
        f" stem, which leaves {min(size_px) // 32} positions a side at this size"
    )


def an_epoch_in_one_step(config: fdl.Buildable, computed: Effects) -> str | None:
    accumulate, size = read(config, "trainer.accumulate", 1), read(config, "data.batch_size")
    if computed.assumed or computed.epoch_steps != 1 or not computed.batches or not 1 < accumulate <= computed.batches:
        return None
    return (
        f"data.batch_size={size} times trainer.accumulate={accumulate} makes one step of an epoch's"
        f" {computed.batches:,} batches: {computed.steps:,} steps in all"
    )


def strokes_turned(config: fdl.Buildable, _: Effects) -> str | None:
    for path in members(config, "module.augment", Geometry):
        rotation, shear = (abs(read(config, f"{path}.{name}")) for name in ("rotation_deg", "shear_deg"))
        if max(rotation, shear) < STROKE_DEG <= rotation + shear:
            turn = rotation + shear
            return f"{path}.rotation_deg={rotation} and {path}.shear_deg={shear} turn strokes by up to {turn:g} degrees"
    return None


def digits_erased(config: fdl.Buildable, computed: Effects) -> str | None:
    if computed.augmentation is None:  # values that Erasing refuses
        return None
    for path in members(config, "module.augment", Erasing):
        area, p = (read(config, f"{path}.{name}") for name in ("area", "p"))
        share = p * (1 - HIDING / area) if area else 0  # areas are uniform from 0
        if share > HIDDEN:
            return f"{path}.area={area} and {path}.p={p} paint over {HIDING:.0%} or more of {share:.0%} of the crops"
    return None


def crop_lost(config: fdl.Buildable, computed: Effects) -> str | None:
    if computed.augmentation is None:  # values that Geometry refuses
        return None
    for path, geometry in members(config, "module.augment", Geometry).items():
        settings = {name: value for name, value in fdl.ordered_arguments(geometry).items() if value}
        alone = [_visible(**{name: value}) for name, value in settings.items()]
        together = _visible(**settings)
        if together < VISIBLE <= min(alone, default=0):
            named = " and ".join(f"{path}.{name}={value}" for name, value in settings.items())
            return (
                f"{named} together leave one crop in twenty with less than {together:.0%} of it in view, each alone"
                f" with {min(alone):.0%} or more"
            )
    return None


def _visible(**settings: Any) -> float:
    """The share of a crop that stays in the frame, at its 5th percentile over 1,024 draws."""
    output_to_input_B33 = Geometry(**settings).draw(1024, torch.Generator().manual_seed(0))
    where_BHW2 = project_grid(torch.linalg.inv(output_to_input_B33), size_px=(16, 16))
    return (where_BHW2.abs() <= 1).all(dim=-1).float().mean(dim=(1, 2)).quantile(0.05).item()


COMPOUND: list[Rule] = [
    balanced_twice,
    one_kind_twice,
    averaged_twice,
    decay_alone_shrinks,
    backbone_above_the_head,
    backbone_stays_random,
    frozen_while_random,
    thawed_to_stand_still,
    small_stem_of_large_crops,
    an_epoch_in_one_step,
    strokes_turned,
    digits_erased,
    crop_lost,
]
