"""Values of a config that have no effect, and pairs of values that compound (those rules are in `interactions`).

`checks` refuses what cannot be right; this warns of what is allowed and rarely meant. A rule returns None where all is
well, where a path does not exist, and where it would have to know the train crops and the data is not there. Rules
measure where they can: the real schedule, optimizer, loss and augmentation, with and without the value.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import fiddle as fdl
import torch
from lightning.pytorch.callbacks import EarlyStopping, WeightAveraging

from jersey.augment.base import Augment, Augmentation
from jersey.augment.magnitude import mean_change
from jersey.callbacks.freeze_backbone import FreezeBackbone
from jersey.config.paths import parameters, read
from jersey.data.split import Split
from jersey.lint.interactions import COMPOUND
from jersey.lint.simulate import Effects, Rule, build_module, built_average, effects, members, step_groups
from jersey.training.sam import SAM

INVISIBLE = 0.05  # mean change of a pixel, 0..255; a resampling that moves nothing is off by 1e-5


@dataclass(frozen=True)
class Finding:
    """A sentence about the config, with full paths and numbers."""

    kind: Literal["no effect", "compound"]
    sentence: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.sentence}"


def findings(config: fdl.Buildable, splits: Mapping[str, Split] | None = None) -> list[Finding]:
    """What is found in a config, with the index of the data in `splits`, or as read from `data.root`."""
    return findings_of(config, effects(config, splits))


def findings_of(config: fdl.Buildable, computed: Effects) -> list[Finding]:
    """The same where the config's effects are known already."""
    no_effect = [Finding("no effect", said) for rule in NO_EFFECT if (said := rule(config, computed))]
    return no_effect + [Finding("compound", said) for rule in COMPOUND if (said := rule(config, computed))]


def average_stays_on_its_ramp(config: fdl.Buildable, computed: Effects) -> str | None:
    decays, path = computed.ema_decay, next(iter(members(config, "trainer.callbacks", WeightAveraging)), "")
    if not decays or not computed.epoch_steps or computed.assumed:
        return None
    decay = getattr(built_average(config, computed.epoch_steps), "decay", None)
    name = "decay" if read(config, f"{path}.half_life_epochs") is None else "half_life_epochs"
    source = f"{path}.{name}={read(config, f'{path}.{name}')}"
    if max(decays) == 0:
        return f"{source} keeps nothing of earlier weights: the average is the last step's weights"
    if decay is None or max(decays) >= decay:
        return None
    reached = f"{max(decays):.4f}"
    if name == "half_life_epochs":
        reached = f"{math.log(0.5) / math.log(max(decays)) / computed.epoch_steps:.3g} epochs"
    return f"{source} is never reached: the ramp ends at {reached} after {len(decays):,} steps"


def warmup_fills_the_run(config: fdl.Buildable, computed: Effects) -> str | None:
    curve, warmup = _highest_curve(computed), read(config, "module.schedule.warmup_frac")
    if computed.assumed and warmup is None:  # a schedule in steps, of a run whose steps are not known
        return None
    if curve and curve[0] < curve[-1] and curve.index(max(curve)) == len(curve) - 1:
        source = "module.schedule" if warmup is None else f"module.schedule.warmup_frac={warmup}"
        lr = read(config, "module.optimizer.lr")
        return f"{source} raises the learning rate to the last step, {curve[-1]:.3g} there (module.optimizer.lr={lr})"
    return None


def unused_schedule_values(config: fdl.Buildable, computed: Effects) -> str | None:
    """Numbers of the schedule that 0, and sequences that an empty one, could replace."""
    if not computed.groups or not computed.steps or computed.assumed or max(_highest_curve(computed)) <= 0:
        return None
    unused = []
    for index, each in enumerate(parameters(config)):
        is_amount = isinstance(each.value, (int, float, tuple, list)) and not isinstance(each.value, bool)
        if each.kind != "leaf" or not each.path.startswith("module.schedule.") or not is_amount or not each.value:
            continue
        changed = copy.deepcopy(config)
        parameters(changed)[index].put(type(each.value)())
        try:
            groups = step_groups(build_module(changed, computed.class_counts), computed.steps)
        except Exception:  # a schedule that cannot do without a value uses it
            continue
        if groups == computed.groups:
            unused.append(f"{each.path}={each.value}")
    return f"{' and '.join(unused)} change no learning rate in the {computed.steps:,} steps" if unused else None


def decay_below_precision(config: fdl.Buildable, computed: Effects) -> str | None:
    """AdamW multiplies by 1 - lr x decay, which in single precision is 1 if the product is below 3e-8."""
    is_set = any(each.path == "module.optimizer.weight_decay" and each.kind == "leaf" for each in parameters(config))
    decay, lr = read(config, "module.optimizer.weight_decay"), max(_highest_curve(computed), default=0)
    multiplies = any(group.settings.get("decoupled_weight_decay") for group in (computed.groups or {}).values())
    if not is_set or not decay or not multiplies or lr <= 0 or torch.tensor(1 - lr * decay, dtype=torch.float32) < 1:
        return None
    return (
        f"module.optimizer.weight_decay={decay} moves no weight: at the highest learning rate, {lr:.3g}, a step's decay"
        " is lost in the rounding of single precision"
    )


def balancing_the_balanced(config: fdl.Buildable, computed: Effects) -> str | None:
    powers = ("data.sampler_power", "module.weight_power")
    crops = {each.crops for each in (computed.classes or {}).values() if each.crops}
    if len(crops) != 1:
        return None
    idle = [f"{path}={power}" for path in powers if (power := read(config, path, 0)) > 0]
    return f"{' and '.join(idle)} balance nothing: every number has {crops.pop():,} train crops" if idle else None


def loss_ignores_weights(config: fdl.Buildable, _: Effects) -> str | None:
    power = read(config, "module.weight_power", 0)
    loss = read(config, "module.loss")
    if not power or not isinstance(loss, fdl.Buildable):
        return None
    logits_BK, labels_B = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])
    try:
        apply = fdl.build(loss)
        equal, unequal = (apply(logits_BK, labels_B, torch.tensor(each)) for each in ([1.0, 1, 1], [0.5, 1, 2]))
    except Exception:  # a loss that takes other things
        return None
    return f"module.weight_power={power}: module.loss ignores the weights" if torch.equal(equal, unequal) else None


def permission_unused(config: fdl.Buildable, _: Effects) -> str | None:
    powers = {path: read(config, path, 0) for path in ("data.sampler_power", "module.weight_power")}
    if read(config, "module.weights_on_top_of_sampler", False) and not all(powers.values()):
        off = " and ".join(f"{path}={power}" for path, power in powers.items() if not power)
        return f"module.weights_on_top_of_sampler=True allows what is not done: {off}"
    return None


def patience_outlasts_the_run(config: fdl.Buildable, _: Effects) -> str | None:
    epochs = read(config, "trainer.epochs")
    for path in members(config, "trainer.callbacks", EarlyStopping):
        patience = read(config, f"{path}.patience")
        # The first epoch always improves on nothing; a stop after the last epoch is none.
        if epochs is not None and (earliest := 1 + max(patience, 1)) >= epochs:
            return (
                f"{path}.patience={patience} stops after epoch {earliest} at the earliest, and trainer.epochs={epochs}"
            )
    return None


def limit_above_all_splits(config: fdl.Buildable, computed: Effects) -> str | None:
    limit, train, evaluation = (
        read(config, path) for path in ("trainer.limit_batches", "data.batch_size", "data.eval_batch_size")
    )
    if computed.splits is None or None in (limit, train, evaluation):
        return None
    sizes = {"train": len(computed.splits["train"]) // train}
    sizes |= {name: -(-len(computed.splits[name]) // evaluation) for name in ("val", "test")}
    if limit >= max(sizes.values()):
        have = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        return f"trainer.limit_batches={limit} limits no split (batches: {have})"
    return None


def accumulate_beyond_the_epoch(config: fdl.Buildable, computed: Effects) -> str | None:
    accumulate = read(config, "trainer.accumulate", 1)
    if computed.batches is None or computed.assumed or accumulate <= computed.batches:
        return None
    return (
        f"trainer.accumulate={accumulate} is cut at the {computed.batches:,} batches of an epoch, and still divides"
        f" their gradients by {accumulate}"
    )


def clipping_at_zero(config: fdl.Buildable, _: Effects) -> str | None:
    norm = read(config, "trainer.clip_norm")
    unclear = norm is not None and norm <= 0
    return f"trainer.clip_norm={norm} clips nothing, as Lightning reads it; None says so" if unclear else None


def freezing_no_step(config: fdl.Buildable, computed: Effects) -> str | None:
    steps = 0 if computed.assumed else computed.steps or 0
    for path in members(config, "trainer.callbacks", FreezeBackbone):
        frac = read(config, f"{path}.frac")
        if frac == 0 or (frac and steps and round(frac * steps) == 0):
            return f"{path}.frac={frac} freezes the backbone for no step" + (f" of {steps:,}" if steps else "")
    return None


def sam_without_a_step_up(config: fdl.Buildable, _: Effects) -> str | None:
    for path in members(config, "module", SAM):
        if (rho := read(config, f"{path}.rho")) == 0:
            return f"{path}.rho={rho} makes two passes a step, twice the time, and steps as the optimizer alone"
    return None


def idle_augmentation(config: fdl.Buildable, computed: Effects) -> str | None:
    augment = read(config, "module.augment")
    if not computed.augmentation or not isinstance(augment, fdl.Buildable):
        return None
    if fdl.get_callable(augment) is Augment and not fdl.ordered_arguments(augment):
        return "module.augment has no operations"
    idle = [
        path
        for path, operation in members(config, "module.augment", Augmentation).items()
        if (alone := computed.augmentation.get(path.removeprefix("module.augment.")))
        and alone.change < INVISIBLE
        # A rare change needs more crops than that to be seen.
        and mean_change(Augment(operation=fdl.build(operation)), rounds=16) < INVISIBLE
    ]
    return f"{' and '.join(idle)} changed no pixel of 1,024 crops" if idle else None


def _highest_curve(computed: Effects) -> tuple[float, ...]:
    """The learning rates of the group that learns fastest."""
    return max((group.curves["lr"] for group in (computed.groups or {}).values()), key=max, default=())


NO_EFFECT: list[Rule] = [
    average_stays_on_its_ramp,
    warmup_fills_the_run,
    unused_schedule_values,
    decay_below_precision,
    balancing_the_balanced,
    loss_ignores_weights,
    permission_unused,
    patience_outlasts_the_run,
    limit_above_all_splits,
    accumulate_beyond_the_epoch,
    clipping_at_zero,
    freezing_no_step,
    sam_without_a_step_up,
    idle_augmentation,
]
