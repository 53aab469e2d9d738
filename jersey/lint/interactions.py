"""Pairs of values in a config that act on one thing, where the second adds to or multiplies the first.

Each alone is ordinary; together they do more than the one who set the second may have in mind. See `findings`.
"""

from __future__ import annotations

import math
from collections import defaultdict

import fiddle as fdl
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging

from jersey.augment.base import Augmentation
from jersey.augment.erasing import Erasing
from jersey.callbacks.freeze_backbone import FreezeBackbone
from jersey.config.paths import read
from jersey.lint.simulate import Effects, Group, Rule, members

BACKBONE_SCALE = "module.optimizer.backbone_lr_scale"
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
    if read(config, "module.network.weights", "not there") is not None:
        return None
    if read(config, BACKBONE_SCALE, 1) == 0:
        return f"module.network.weights=None and {BACKBONE_SCALE}=0 leave the backbone at its random start"
    for path in members(config, "trainer.callbacks", FreezeBackbone):
        if (frac := read(config, f"{path}.frac", 0.0)) > 0:
            return f"module.network.weights=None and {path}.frac={frac} keep a random backbone as it is"
    return None


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


def digits_erased(config: fdl.Buildable, computed: Effects) -> str | None:
    if computed.augmentation is None:  # values that Erasing refuses
        return None
    for path in members(config, "module.augment", Erasing):
        area, p = (read(config, f"{path}.{name}") for name in ("area", "p"))
        share = p * (1 - HIDING / area) if area else 0  # areas are uniform from 0
        if share > HIDDEN:
            return f"{path}.area={area} and {path}.p={p} paint over {HIDING:.0%} or more of {share:.0%} of the crops"
    return None


COMPOUND: list[Rule] = [
    balanced_twice,
    one_kind_twice,
    averaged_twice,
    decay_alone_shrinks,
    backbone_above_the_head,
    backbone_stays_random,
    small_stem_of_large_crops,
    an_epoch_in_one_step,
    digits_erased,
]
