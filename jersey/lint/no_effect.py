"""Finds values of a config that have no effect, and applies the rules of `jersey.lint.interactions`.

`jersey.lint.checks` rejects contradictions; the findings here are warnings of what is allowed but rarely intended. A
rule yields nothing if a path does not exist, or if it depends on the train crops and the data is missing. Where
possible, a rule measures the real schedule, optimizer, loss or augmentation with and without the value.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import fiddle as fdl
import torch
from lightning.pytorch.callbacks import EarlyStopping, WeightAveraging

from jersey.augment.base import Augment, Augmentation
from jersey.augment.magnitude import mean_change
from jersey.callbacks.freezing import FreezeBackbone
from jersey.config.paths import parameters
from jersey.core.errors import plural
from jersey.lint.interactions import INTERACTIONS, POWERS
from jersey.lint.simulate import Effects, Rule, build_module, build_weight_averaging, members, step_groups
from jersey.training.losses import LogitAdjustedLoss
from jersey.training.sam import SAM

MIN_CHANGE = 0.05  # of a pixel on average, 0 to 255; a smaller change, such as 1e-5 by resampling, is no effect


def findings(computed: Effects) -> list[str]:
    """Returns one sentence for each finding about a config with these effects; it has the full paths and the values."""
    kinds = {"no effect": NO_EFFECT, "interaction": INTERACTIONS}
    return [f"{kind}: {sentence}" for kind, rules in kinds.items() for rule in rules for sentence in rule(computed)]


def ema_decay_not_reached(computed: Effects) -> Iterator[str]:
    decays = computed.ema_decay
    path = next(iter(members(computed.values, "trainer.callbacks", WeightAveraging)), "")
    if not decays or not computed.epoch_steps or computed.assumed:
        return
    decay = getattr(build_weight_averaging(computed.values, computed.epoch_steps), "decay", None)
    name = "decay" if computed.values.get(f"{path}.half_life_epochs") is None else "half_life_epochs"
    source = f"{path}.{name}={computed.values.get(f'{path}.{name}')}"
    if max(decays) == 0:
        yield f"{source} keeps nothing of earlier weights: the EMA weights are those of the last step"
    elif decay is not None and max(decays) < decay:
        reached = f"{max(decays):.4f}"
        if name == "half_life_epochs":
            reached = f"{math.log(0.5) / math.log(max(decays)) / computed.epoch_steps:.3g} epochs"
        yield f"{source} is never reached: the ramp ends at {reached} after {plural(len(decays), 'step')}"


def warmup_fills_the_run(computed: Effects) -> Iterator[str]:
    curve = _highest_curve(computed)
    warmup = computed.values.get("module.schedule.warmup_frac")
    if computed.assumed and warmup is None:  # the schedule counts steps, and the number of steps is unknown
        return
    if curve and curve[0] < curve[-1] and curve.index(max(curve)) == len(curve) - 1:
        source = "module.schedule" if warmup is None else f"module.schedule.warmup_frac={warmup}"
        lr = computed.values.get("module.optimizer.lr")
        yield f"{source} raises the learning rate until the last step, to {curve[-1]:.3g} (module.optimizer.lr={lr})"


def unused_schedule_values(computed: Effects) -> Iterator[str]:
    """Finds values of the schedule that could be 0, or an empty sequence, without changing any learning rate."""
    if not computed.groups or not computed.steps or computed.assumed or max(_highest_curve(computed)) <= 0:
        return
    unused = []
    for index, each in enumerate(parameters(computed.config)):
        is_amount = isinstance(each.value, (int, float, tuple, list)) and not isinstance(each.value, bool)
        if each.kind != "leaf" or not each.path.startswith("module.schedule.") or not is_amount or not each.value:
            continue
        changed = copy.deepcopy(computed.config)
        parameters(changed)[index].set(type(each.value)())
        try:
            groups = step_groups(build_module(changed, computed.class_counts), computed.steps)
        except Exception:  # a schedule that fails without the value uses it
            continue
        if groups == computed.groups:
            unused.append(f"{each.path}={each.value}")
    if unused:
        verb = "changes" if len(unused) == 1 else "change"
        yield f"{' and '.join(unused)} {verb} no learning rate in {plural(computed.steps, 'step')}"


def decay_below_precision(computed: Effects) -> Iterator[str]:
    """AdamW multiplies a weight by 1 - lr x decay, which is 1 in float32 if the product is below 3e-8."""
    path = "module.optimizer.weight_decay"
    is_set = any(each.path == path and each.kind == "leaf" for each in parameters(computed.config))
    decay, lr = computed.values.get(path), max(_highest_curve(computed), default=0)
    is_adamw = any(any(each.settings.get("decoupled_weight_decay", ())) for each in (computed.groups or {}).values())
    if is_set and decay and is_adamw and lr > 0 and torch.tensor(1 - lr * decay, dtype=torch.float32) == 1:
        yield (
            f"{path}={decay} changes no weight: even at the highest learning rate, {lr:.3g}, the decay of a step is"
            " lost in float32 rounding"
        )


def balancing_of_equal_classes(computed: Effects) -> Iterator[str]:
    crops = {each.crops for each in (computed.classes or {}).values() if each.crops}
    paths = (*POWERS, *(f"{path}.tau" for path in members(computed.values, "module", LogitAdjustedLoss)))
    unused = [f"{path}={power}" for path in paths if (power := computed.values.get(path, 0)) > 0]
    if len(crops) == 1 and unused:
        verb = "balances" if len(unused) == 1 else "balance"
        yield f"{' and '.join(unused)} {verb} nothing: every class has {plural(crops.pop(), 'train crop')}"


def loss_ignores_weights(computed: Effects) -> Iterator[str]:
    power, loss = computed.values.get("module.class_weight_power"), computed.values.get("module.loss")
    if not power or not isinstance(loss, fdl.Buildable):
        return
    logits_BK = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    labels_B = torch.tensor([0, 1, 2, 0])
    try:
        apply = fdl.build(loss)
        equal, unequal = (apply(logits_BK, labels_B, torch.tensor(each)) for each in ([1.0, 1, 1], [0.5, 1, 2]))
    except Exception:  # a loss with other arguments
        return
    if torch.equal(equal, unequal):
        yield f"module.class_weight_power={power}: module.loss ignores the weights"


def unneeded_permission(computed: Effects) -> Iterator[str]:
    off = [f"{path}={power}" for path in POWERS if not (power := computed.values.get(path, 0))]
    if computed.values.get("module.allow_weights_and_sampler") and off:
        yield f"module.allow_weights_and_sampler=True is not needed with {' and '.join(off)}"


def patience_outlasts_the_run(computed: Effects) -> Iterator[str]:
    epochs = computed.values.get("trainer.epochs")
    for path in members(computed.values, "trainer.callbacks", EarlyStopping):
        patience = computed.values.get(f"{path}.patience", 0)
        # The first epoch always counts as an improvement; stopping after the last epoch changes nothing.
        if epochs is not None and (earliest := 1 + max(patience, 1)) >= epochs:
            stop = f"stops the run after epoch {earliest} at the earliest"
            yield f"{path}.patience={patience} {stop}, but trainer.epochs={epochs}"


def limit_above_all_splits(computed: Effects) -> Iterator[str]:
    paths = ("trainer.limit_batches", "data.batch_size", "data.eval_batch_size")
    limit, batch_size, eval_batch_size = map(computed.values.get, paths)
    if computed.splits is None or limit is None or not batch_size or not eval_batch_size:
        return
    sizes = {"train": len(computed.splits["train"]) // batch_size}
    sizes |= {name: -(-len(computed.splits[name]) // eval_batch_size) for name in ("val", "test")}
    if limit >= max(sizes.values()):
        batches = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        yield f"trainer.limit_batches={limit} limits no split (batches: {batches})"


def accumulate_beyond_the_epoch(computed: Effects) -> Iterator[str]:
    accumulate = computed.values.get("trainer.accumulate", 1)
    if computed.batches is not None and not computed.assumed and accumulate > computed.batches:
        yield (
            f"trainer.accumulate={accumulate} is above the number of batches of an epoch ({computed.batches:,}) but"
            f" still divides their gradients by {accumulate}"
        )


def clipping_at_zero(computed: Effects) -> Iterator[str]:
    norm = computed.values.get("trainer.clip_norm")
    if norm is not None and norm <= 0:
        yield f"trainer.clip_norm={norm} disables clipping in Lightning; write None instead"


def freezing_for_no_step(computed: Effects) -> Iterator[str]:
    steps = 0 if computed.assumed else computed.steps or 0
    for path in members(computed.values, "trainer.callbacks", FreezeBackbone):
        frac = computed.values.get(f"{path}.freeze_frac")
        if frac == 0 or (frac and steps and round(frac * steps) == 0):
            yield f"{path}.freeze_frac={frac} freezes the backbone for no step" + (f" of {steps:,}" if steps else "")


def sam_with_radius_zero(computed: Effects) -> Iterator[str]:
    for path in members(computed.values, "module", SAM):
        if (rho := computed.values.get(f"{path}.rho")) == 0:
            yield f"{path}.rho={rho} takes two passes per step, twice the time, for the same step as without SAM"


def augmentation_without_change(computed: Effects) -> Iterator[str]:
    augment = computed.values.get("module.augment")
    if not computed.augmentation or not isinstance(augment, fdl.Buildable):
        return
    if fdl.get_callable(augment) is Augment and not fdl.ordered_arguments(augment):
        yield "module.augment has no operations"
    unused = [
        path
        for path, operation in members(computed.values, "module.augment", Augmentation).items()
        if (alone := computed.augmentation.get(path.removeprefix("module.augment.")))
        and alone.change < MIN_CHANGE
        # More crops are needed to detect a rare change.
        and mean_change(Augment(operation=fdl.build(operation)), rounds=16) < MIN_CHANGE
    ]
    if unused:
        yield f"{' and '.join(unused)} changed no pixel of 1,024 crops"


def _highest_curve(computed: Effects) -> tuple[float, ...]:
    """Returns the learning rates of the group with the highest ones, one per optimizer step; empty if unknown."""
    return max((group.settings["lr"] for group in (computed.groups or {}).values()), key=max, default=())


NO_EFFECT: list[Rule] = [
    ema_decay_not_reached,
    warmup_fills_the_run,
    unused_schedule_values,
    decay_below_precision,
    balancing_of_equal_classes,
    loss_ignores_weights,
    unneeded_permission,
    patience_outlasts_the_run,
    limit_above_all_splits,
    accumulate_beyond_the_epoch,
    clipping_at_zero,
    freezing_for_no_step,
    sam_with_radius_zero,
    augmentation_without_change,
]
