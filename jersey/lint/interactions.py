"""Pairs of values in a config that act on one thing, where the second adds to or multiplies the first.

Each alone is ordinary; together they do more than the one who set the second may have in mind. See `findings`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import fiddle as fdl
import numpy as np
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging

from jersey.augment.base import Augmentation
from jersey.augment.erasing import RandomErasing
from jersey.callbacks.freeze_backbone import FreezeBackbone
from jersey.lint.simulate import Effects, Group, Rule, members

BACKBONE_SCALE = "module.optimizer.backbone_lr_scale"
HIDING = 0.1  # of a crop; a digit is not much larger
HIDDEN = 0.1  # share of the crops with such a rectangle
ENOUGH_PX = 128  # from here on ResNet's own stem leaves four positions a side at the end
LEFT = 0.5  # of a weight that decays to less, most is gone without any gradient


def balanced_twice(computed: Effects) -> Iterator[str]:
    sampler_power = computed.values.get("data.sampler_power", 0)
    class_weight_power = computed.values.get("module.class_weight_power", 0)
    present = {name: each for name, each in (computed.classes or {}).items() if each.crops}
    if not present or sampler_power <= 0 or class_weight_power <= 0:
        return
    rare, common = (choose(present, key=lambda name: present[name].crops) for choose in (min, max))
    few, many = present[rare], present[common]
    if few.crops < many.crops:
        drawn = few.probability / many.probability * many.crops / few.crops
        weighted = few.weight / many.weight
        yield (
            f"data.sampler_power={sampler_power} lifts {rare} ({few.crops:,} train crops) {drawn:.3g} times against"
            f" {common} ({many.crops:,}), module.class_weight_power={class_weight_power} {weighted:.3g} times, both together"
            f" {drawn * weighted:.3g} times"
        )


def one_kind_twice(computed: Effects) -> Iterator[str]:
    """What an operation wraps is its own business: two wrappers of one class may be there for different things."""
    alike = defaultdict(list)
    for path, operation in members(computed.values, "module.augment", Augmentation).items():
        wraps = any(isinstance(value, fdl.Buildable) for value in fdl.ordered_arguments(operation).values())
        if path.rpartition(".")[0] == "module.augment" and not wraps:
            alike[fdl.get_callable(operation).__name__].append(path)
    for name, paths in alike.items():
        if len(paths) > 1:
            yield f"{' and '.join(paths)} are all {name}: their changes add up"


def averaged_twice(computed: Effects) -> Iterator[str]:
    averages = members(computed.values, "trainer.callbacks", (WeightAveraging, StochasticWeightAveraging))
    if len(averages) > 1:
        yield f"{' and '.join(averages)} average the weights, each what the other left"


def decay_alone_shrinks(computed: Effects) -> Iterator[str]:
    left = min(map(left_by_decay, (computed.groups or {}).values()), default=1.0)
    if left < LEFT and not computed.assumed:
        lr, decay = (computed.values.get(f"module.optimizer.{name}") for name in ("lr", "weight_decay"))
        yield (
            f"module.optimizer.lr={lr} and module.optimizer.weight_decay={decay} over {computed.steps:,} steps shrink a"
            f" weight without gradient to {left:.2g} of its value"
        )


def left_by_decay(group: Group) -> float:
    """Share of a weight after the run when only decay acts, in AdamW and in SGD, whose momentum multiplies it.

    Adam's own decay passes through its normalization, where its size is lost: nothing is said of it.
    """
    is_known = "dampening" in group.settings or any(group.settings.get("decoupled_weight_decay", ()))  # SGD; AdamW
    lr, decay, momentum = (np.array(group.settings.get(name, (0,))) for name in ("lr", "weight_decay", "momentum"))
    return float(np.exp(-(lr * decay / (1 - momentum)).sum())) if is_known else 1.0


def backbone_above_the_head(computed: Effects) -> Iterator[str]:
    scale, lr = computed.values.get(BACKBONE_SCALE, 1), computed.values.get("module.optimizer.lr")
    if scale > 1 and lr is not None:
        yield f"{BACKBONE_SCALE}={scale} times module.optimizer.lr={lr} is {scale * lr:.3g}, above the head's rate"


def backbone_stays_random(computed: Effects) -> Iterator[str]:
    if computed.values.get("module.network.weights", "not there") is not None:
        return
    if computed.values.get(BACKBONE_SCALE, 1) == 0:
        yield f"module.network.weights=None and {BACKBONE_SCALE}=0 leave the backbone at its random start"
        return
    for path in members(computed.values, "trainer.callbacks", FreezeBackbone):
        if (frac := computed.values.get(f"{path}.frac", 0)) > 0:
            yield f"module.network.weights=None and {path}.frac={frac} keep a random backbone as it is"


def small_stem_of_large_crops(computed: Effects) -> Iterator[str]:
    size_px, stem = computed.values.get("data.size_px"), computed.values.get("module.network.stem")
    if stem == "small" and isinstance(size_px, tuple) and min(size_px) >= ENOUGH_PX:
        yield (
            f"module.network.stem='small' at data.size_px={size_px} takes about four times the arithmetic of the"
            f" imagenet stem, which leaves {min(size_px) // 32} positions a side at this size"
        )


def an_epoch_in_one_step(computed: Effects) -> Iterator[str]:
    accumulate, batches = computed.values.get("trainer.accumulate", 1), computed.batches or 0
    if not computed.assumed and computed.epoch_steps == 1 and 1 < accumulate <= batches:
        yield (
            f"data.batch_size={computed.values['data.batch_size']} times trainer.accumulate={accumulate} makes one step"
            f" of an epoch's {batches:,} batches: {computed.steps:,} steps in all"
        )


def digits_erased(computed: Effects) -> Iterator[str]:
    if computed.augmentation is None:  # values that Erasing refuses
        return
    for path in members(computed.values, "module.augment", RandomErasing):
        area, p = (computed.values[f"{path}.{name}"] for name in ("area", "p"))
        share = p * (1 - HIDING / area) if area else 0  # areas are uniform from 0
        if share > HIDDEN:
            yield f"{path}.area={area} and {path}.p={p} paint over {HIDING:.0%} or more of {share:.0%} of the crops"


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
