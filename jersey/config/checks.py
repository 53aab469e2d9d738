"""Contracts between parts of a config that neither part can see alone, checked before anything is built.

A rule is a function of the config that returns a sentence when it is broken. It reads by path and lets pass what it
does not find, so that a config with a user's own module goes through.
"""

from __future__ import annotations

from collections.abc import Callable

import fiddle as fdl
from fiddle import validation

from jersey.config.paths import read
from jersey.errors import UserError

Rule = Callable[[fdl.Buildable], str | None]

LEAST = {
    "seed": 0,
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


def check(config: fdl.Buildable) -> None:
    """Raises a UserError that names every broken rule; Fiddle's ValueError when not all values are plain."""
    validation.check_no_custom_objects(config)
    broken = [sentence for rule in RULES if (sentence := rule(config))]
    if broken:
        raise UserError("; ".join(broken))


def balanced_once(config: fdl.Buildable) -> str | None:
    """A balancing sampler and class weights multiply: a rare class would be pushed up twice."""
    sampler_power = read(config, "data.sampler_power", 0)
    weight_power = read(config, "module.weight_power", 0)
    if sampler_power > 0 and weight_power > 0 and not read(config, "module.weights_on_top_of_sampler", False):
        return (
            f"data.sampler_power={sampler_power} and module.weight_power={weight_power} both balance the classes and"
            " multiply; set one of them to 0, or module.weights_on_top_of_sampler=True"
        )
    return None


def in_range(config: fdl.Buildable) -> str | None:
    """Counts of nothing, and a seed that no generator takes."""
    for path, least in LEAST.items():
        values = read(config, path, None)
        for value in values if isinstance(values, tuple) else (values,):
            if value is not None and value < least:
                return f"{path}={values} is too small; the least is {least}"
    return None


RULES: list[Rule] = [balanced_once, in_range]
