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


RULES: list[Rule] = [balanced_once]
