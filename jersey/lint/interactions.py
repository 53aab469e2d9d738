"""Finds pairs of values that act on the same quantity, so that their effects add up or multiply.

Each value alone is ordinary, but together they may do more than intended. `jersey.lint.no_effect.findings` applies
these rules.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

import fiddle as fdl
import numpy as np
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging

from jersey.augment.base import Augmentation
from jersey.augment.erasing import RandomErasing
from jersey.callbacks.freezing import FreezeBackbone, FreezeBatchNorm
from jersey.core.errors import plural
from jersey.lint.simulate import Effects, Group, Rule, members

POWERS = ("data.sampler_power", "module.class_weight_power")
BACKBONE_SCALE = "module.optimizer.backbone_lr_scale"
ERASED_AREA = 0.1  # fraction of a crop; a digit is not much larger
MAX_ERASED_CROPS = 0.1  # fraction of the crops in which at least ERASED_AREA is erased
LARGE_CROP_PX = 128  # from this size on, the last features of a ResNet with its own stem have 4 x 4 positions or more
MIN_REMAINING = 0.5  # fraction of a weight; below it, decay alone removes most of the weight


def balanced_twice(computed: Effects) -> Iterator[str]:
    """Finds a sampler beside class weights, and a logit adjustment that goes beyond balance together with either."""
    present = {name: each for name, each in (computed.classes or {}).items() if each.crops}
    rare_name, common_name = (
        choose(present, key=lambda name: present[name].crops, default="") for choose in (min, max)
    )
    if not present or present[rare_name].crops == present[common_name].crops:
        return
    rare, common = present[rare_name], present[common_name]
    imbalance = common.crops / rare.crops
    sampled, weighted = rare.probability / common.probability * imbalance, rare.weight / common.weight
    powers = [f"{path}={power}" for path in POWERS if (power := computed.values.get(path, 0)) > 0]
    who, than = f"{rare_name} ({rare.crops:,} train crops)", f"{common_name} ({common.crops:,})"
    if len(powers) == len(POWERS):
        yield (
            f"{powers[0]} oversamples {who} {sampled:.3g} times relative to {than}, {powers[1]} weights it"
            f" {weighted:.3g} times, and both together {sampled * weighted:.3g} times"
        )
    # An adjustment multiplies the odds of a network that fits the data, as the other two do.
    adjusted = math.exp(common.adjustment - rare.adjustment)
    if powers and adjusted > 1 and (product := sampled * weighted * adjusted) > 1.01 * imbalance:
        yield (
            f"module.loss.tau={computed.values.get('module.loss.tau')} favors {who} {adjusted:.3g} times relative to"
            f" {than}, and together with {' and '.join(powers)} {product:.3g} times, where {imbalance:.3g} times"
            " balance the classes"
        )


def same_operation_twice(computed: Effects) -> Iterator[str]:
    """Finds operations of one class, except wrappers, because these may wrap different operations."""
    by_class = defaultdict(list)
    for path, operation in members(computed.values, "module.augment", Augmentation).items():
        wraps = any(isinstance(value, fdl.Buildable) for value in fdl.ordered_arguments(operation).values())
        if path.rpartition(".")[0] == "module.augment" and not wraps:
            by_class[fdl.get_callable(operation).__name__].append(path)
    for name, paths in by_class.items():
        if len(paths) > 1:
            yield f"{' and '.join(paths)} are all {name}: their changes add up"


def averaged_twice(computed: Effects) -> Iterator[str]:
    averages = members(computed.values, "trainer.callbacks", (WeightAveraging, StochasticWeightAveraging))
    if len(averages) > 1:
        yield f"{' and '.join(averages)} all average the weights, one after the other"


def decay_removes_weights(computed: Effects) -> Iterator[str]:
    remaining = min(map(remaining_after_decay, (computed.groups or {}).values()), default=1.0)
    if remaining < MIN_REMAINING and not computed.assumed:
        lr, decay = (computed.values.get(f"module.optimizer.{name}") for name in ("lr", "weight_decay"))
        yield (
            f"module.optimizer.lr={lr} and module.optimizer.weight_decay={decay} over"
            f" {plural(computed.steps or 0, 'step')} shrink a weight without gradient to {remaining:.2g} of its value"
        )


def remaining_after_decay(group: Group) -> float:
    """Returns the fraction of a weight that remains after the run if only decay acts on it.

    SGD's momentum m multiplies the decay by 1 / (1 - m). The result is 1 for optimizers other than AdamW and SGD, such
    as Adam, which normalizes the decay together with the gradient.
    """
    is_sgd = "dampening" in group.settings
    is_adamw = any(group.settings.get("decoupled_weight_decay", ()))
    lr, decay, momentum = (np.array(group.settings.get(name, (0,))) for name in ("lr", "weight_decay", "momentum"))
    return float(np.exp(-(lr * decay / (1 - momentum)).sum())) if is_sgd or is_adamw else 1.0


def backbone_lr_above_the_head(computed: Effects) -> Iterator[str]:
    scale, lr = computed.values.get(BACKBONE_SCALE, 1), computed.values.get("module.optimizer.lr")
    if scale > 1 and lr is not None:
        product = f"{scale * lr:.3g}, more than the learning rate of the head"
        yield f"{BACKBONE_SCALE}={scale} times module.optimizer.lr={lr} is {product}"


def backbone_stays_random(computed: Effects) -> Iterator[str]:
    if computed.values.get("module.network.weights", "missing") is not None:
        return
    if computed.values.get(BACKBONE_SCALE, 1) == 0:
        yield f"module.network.weights=None and {BACKBONE_SCALE}=0 keep the backbone at its random initialization"
        return
    for path in members(computed.values, "trainer.callbacks", FreezeBackbone):
        if (frac := computed.values.get(f"{path}.freeze_frac", 0)) > 0:
            yield f"module.network.weights=None and {path}.freeze_frac={frac} freeze a randomly initialized backbone"
    for path in members(computed.values, "trainer.callbacks", FreezeBatchNorm):
        yield f"module.network.weights=None and {path} keep statistics of batch normalization that no crop has shaped"


def imagenet_weights_see_other_pixels(computed: Effects) -> Iterator[str]:
    weights, normalization = (computed.values.get(f"module.network.{name}") for name in ("weights", "normalization"))
    if weights == "imagenet" and normalization not in (None, "imagenet"):
        yield (
            f"module.network.weights='imagenet' were trained with normalization='imagenet', and"
            f" module.network.normalization={normalization!r} changes the pixels that they see"
        )


def small_stem_for_large_crops(computed: Effects) -> Iterator[str]:
    size_px, stem = computed.values.get("data.size_px"), computed.values.get("module.network.stem")
    if stem == "small" and isinstance(size_px, tuple) and min(size_px) >= LARGE_CROP_PX:
        yield (
            f"module.network.stem='small' at data.size_px={size_px} needs about four times the operations of the"
            f" imagenet stem, which leaves {min(size_px) // 32} positions per side at this size"
        )


def one_step_per_epoch(computed: Effects) -> Iterator[str]:
    accumulate, batches = computed.values.get("trainer.accumulate", 1), computed.batches or 0
    if not computed.assumed and computed.epoch_steps == 1 and 1 < accumulate <= batches:
        yield (
            f"data.batch_size={computed.values['data.batch_size']} times trainer.accumulate={accumulate} makes one"
            f" optimizer step of the {batches:,} batches of an epoch: {plural(computed.steps or 0, 'step')} in total"
        )


def digits_erased(computed: Effects) -> Iterator[str]:
    if computed.augmentation is None:  # RandomErasing rejects the values
        return
    for path in members(computed.values, "module.augment", RandomErasing):
        area, p = (computed.values[f"{path}.{name}"] for name in ("area", "p"))
        fraction = p * (1 - ERASED_AREA / area) if area else 0  # the erased area is uniform in [0, area]
        if fraction > MAX_ERASED_CROPS:
            erased = f"erase at least {100 * ERASED_AREA:.0f} % of the area of {100 * fraction:.0f} % of the crops"
            yield f"{path}.area={area} and {path}.p={p} {erased}"


INTERACTIONS: list[Rule] = [
    balanced_twice,
    same_operation_twice,
    averaged_twice,
    decay_removes_weights,
    backbone_lr_above_the_head,
    backbone_stays_random,
    imagenet_weights_see_other_pixels,
    small_stem_for_large_crops,
    one_step_per_epoch,
    digits_erased,
]
