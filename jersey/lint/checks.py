"""Contracts between parts of a config that neither part can see alone, checked before anything is built.

A rule yields a sentence for each way in which a config breaks it. It lets pass what it does not find, so that a config
with a user's own module goes through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import fiddle as fdl
from fiddle import validation

from jersey.config import saved
from jersey.config.paths import Values, values_of
from jersey.core.distributed import world_size
from jersey.core.errors import UserError
from jersey.data.loader import batch_size_error
from jersey.export.variants import VariantName
from jersey.training.sam import accumulation_error

PACKAGES = ("jersey", "experiments", "torch", "torchvision", "lightning")
"""What a saved config may name: nothing else is imported for a file."""

LEAST = {
    "seed": 0,
    "onnx_variant_min_agreement": 0,
    "data.size_px": 8,
    "data.batch_size": 2,  # batch normalization has no variance of one crop
    "data.eval_batch_size": 1,
    "data.sampler_power": 0,
    "module.class_weight_power": 0,
    "module.optimizer.lr": 0,
    "trainer.epochs": 1,
    "trainer.accumulate": 1,
    "trainer.limit_batches": 1,
}
MOST_SEED = 2**32 - 1  # that a generator takes
LOWER_IS_BETTER = ("loss", "ece")  # of the metrics; all others are better when higher


def load(path: Path) -> tuple[str, fdl.Buildable]:
    """The experiment's name and the config of a run, from its folder or its config.json."""
    try:
        return saved.load(path, PACKAGES)
    except saved.OtherVersion as error:
        raise UserError(
            f"{error}: another version wrote it; run the experiment again, or use the commit in the run's"
            " provenance.json"
        ) from error


def check(config: fdl.Buildable) -> None:
    """Raises a UserError that names every broken rule; Fiddle's ValueError when not all values are plain."""
    validation.check_no_custom_objects(config)
    values = values_of(config)
    if broken := [sentence for rule in RULES for sentence in rule(values)]:
        raise UserError("; ".join(broken))


def balanced_once(values: Values) -> Iterator[str]:
    """A balancing sampler and class weights multiply: a rare class would be pushed up twice."""
    sampler_power = values.get("data.sampler_power", 0)
    class_weight_power = values.get("module.class_weight_power", 0)
    if sampler_power > 0 and class_weight_power > 0 and not values.get("module.allow_weights_and_sampler"):
        yield (
            f"data.sampler_power={sampler_power} and module.class_weight_power={class_weight_power} both balance the classes and"
            " multiply; set one of them to 0, or module.allow_weights_and_sampler=True"
        )


def in_range(values: Values) -> Iterator[str]:
    """Counts of nothing, and a seed that no generator takes."""
    for path, least in LEAST.items():
        value = values.get(path)
        amounts = value if isinstance(value, tuple) else (value,)
        if any(each is not None and each < least for each in amounts):
            yield f"{path}={value} is too small; the least is {least}"
    if (seed := values.get("seed", 0)) > MOST_SEED:
        yield f"seed={seed} is too large; the most is {MOST_SEED}"


def watches_what_is_there(values: Values) -> Iterator[str]:
    """A loss watched with mode "max" would keep the worst epoch; a mixed crop is of no one number and has no score."""
    for path, metric in values.items():
        part, _, name = path.rpartition(".")
        if name != "monitor" or not metric:
            continue
        best = "min" if metric.rpartition("/")[2] in LOWER_IS_BETTER else "max"
        if values.get(f"{part}.mode", best) != best:
            yield f"{path}={metric!r} is best when {best}imal; set {part}.mode={best}"
        if metric.startswith("train/") and metric != "train/loss" and values.get("module.mix") is not None:
            yield (
                f"{path}={metric!r} is not there with module.mix, under which the train split has a loss alone;"
                f" watch {metric.replace('train', 'val', 1)!r} or set module.mix=None"
            )


def parts_can_share_a_batch(values: Values) -> Iterator[str]:
    """SAM looks uphill from one batch; torchrun's processes take equal shares of one."""
    accumulate = values.get("trainer.accumulate") or 1
    if values.get("module.sam") is not None and (wrong := accumulation_error(accumulate)):
        yield wrong
    if (size := values.get("data.batch_size")) is not None and (wrong := batch_size_error(size, world_size())):
        yield wrong


def variants_can_be_made(values: Values) -> Iterator[str]:
    """What is wrong would come out only when training is over."""
    names, known = values.get("onnx_variants") or (), get_args(VariantName)
    if unknown := [name for name in names if name not in known]:
        yield f"onnx_variants={names!r} holds {unknown[0]!r}, which is none of {', '.join(known)}"
    if len(set(names)) < len(names):
        yield f"onnx_variants={names!r} names a variant twice; name each once"
    if (share := values.get("onnx_variant_min_agreement", 0)) > 1:
        yield f"onnx_variant_min_agreement={share} is a share of crops, so no variant would reach it; 1 is the most"


RULES: list[Callable[[Values], Iterator[str]]] = [
    balanced_once,
    in_range,
    watches_what_is_there,
    parts_can_share_a_batch,
    variants_can_be_made,
]
