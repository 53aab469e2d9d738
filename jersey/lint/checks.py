"""Contracts between parts of a config that neither part can see alone, checked before anything is built.

A rule is a function of the config's values by path that returns a sentence when it is broken. It lets pass what it does
not find, so that a config with a user's own module goes through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import fiddle as fdl
from fiddle import validation

from jersey.config import saved
from jersey.config.paths import parameters
from jersey.config.values import UNKNOWN
from jersey.core.distributed import world_size
from jersey.core.errors import UserError
from jersey.data.loader import uneven_share
from jersey.export.variants import VariantName
from jersey.training.sam import gathers_too_much

Values = Mapping[str, Any]
Rule = Callable[[Values], str | None]

PACKAGES = ("jersey", "experiments", "torch", "torchvision", "lightning")
"""What a saved config may name: nothing else is imported for a file."""

LEAST = {
    "seed": 0,
    "onnx_variant_agreement": 0,
    "data.size_px": 8,
    "data.batch_size": 2,  # batch normalisation has no variance of one crop
    "data.eval_batch_size": 1,
    "data.sampler_power": 0,
    "module.weight_power": 0,
    "module.optimizer.lr": 0,
    "trainer.epochs": 1,
    "trainer.accumulate": 1,
    "trainer.limit_batches": 1,
}
MOST = {"seed": 2**32 - 1}
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
    values = {each.path: each.value for each in parameters(config) if each.value is not UNKNOWN}
    broken = [sentence for rule in RULES if (sentence := rule(values))]
    if broken:
        raise UserError("; ".join(broken))


def balanced_once(values: Values) -> str | None:
    """A balancing sampler and class weights multiply: a rare class would be pushed up twice."""
    sampler_power = values.get("data.sampler_power", 0)
    weight_power = values.get("module.weight_power", 0)
    if sampler_power > 0 and weight_power > 0 and not values.get("module.weights_on_top_of_sampler"):
        return (
            f"data.sampler_power={sampler_power} and module.weight_power={weight_power} both balance the classes and"
            " multiply; set one of them to 0, or module.weights_on_top_of_sampler=True"
        )
    return None


def in_range(values: Values) -> str | None:
    """Counts of nothing, and a seed that no generator takes."""
    for path, least in LEAST.items():
        value = values.get(path)
        for each in value if isinstance(value, tuple) else (value,):
            if each is not None and each < least:
                return f"{path}={value} is too small; the least is {least}"
    for path, most in MOST.items():
        if values.get(path, most) > most:
            return f"{path}={values[path]} is too large; the most is {most}"
    return None


def best_is_not_worst(values: Values) -> str | None:
    """A loss watched with mode "max" would keep, test and export the worst epoch."""
    for path, metric in values.items():
        part, _, name = path.rpartition(".")
        if name == "monitor" and metric and f"{part}.mode" in values:
            mode = "min" if metric.rpartition("/")[2] in LOWER_IS_BETTER else "max"
            if values[f"{part}.mode"] != mode:
                return f"{path}={metric!r} is best when {mode}imal; set {part}.mode={mode}"
    return None


def one_batch_a_step_with_sam(values: Values) -> str | None:
    """SAM looks uphill from one batch."""
    return gathers_too_much(values.get("trainer.accumulate") or 1) if values.get("module.sam") is not None else None


def shared_evenly(values: Values) -> str | None:
    """torchrun's processes take equal shares of a batch."""
    batch_size = values.get("data.batch_size")
    return uneven_share(batch_size, world_size()) if batch_size is not None else None


def watched_is_there(values: Values) -> str | None:
    """A mixed crop is of no one number, so the train split has no scores."""
    for path, metric in values.items():
        is_score = str(metric).startswith("train/") and metric != "train/loss"
        if path.rpartition(".")[2] == "monitor" and is_score and values.get("module.mix") is not None:
            return (
                f"{path}={metric!r} is not there with module.mix, under which the train split has a loss alone;"
                f" watch {metric.replace('train', 'val', 1)!r} or set module.mix=None"
            )
    return None


def variants_can_be_made(values: Values) -> str | None:
    """What is wrong would come out only when training is over."""
    names, known = values.get("onnx_variants") or (), get_args(VariantName)
    if unknown := [name for name in names if name not in known]:
        return f"onnx_variants={names!r} holds {unknown[0]!r}, which is none of {', '.join(known)}"
    if len(set(names)) < len(names):
        return f"onnx_variants={names!r} names a variant twice; name each once"
    if (share := values.get("onnx_variant_agreement", 0)) > 1:
        return f"onnx_variant_agreement={share} is a share of crops, so no variant would reach it; 1 is the most"
    return None


RULES: list[Rule] = [
    balanced_once,
    in_range,
    best_is_not_worst,
    one_batch_a_step_with_sam,
    shared_evenly,
    variants_can_be_made,
    watched_is_there,
]
