"""Parses `--sweep=path=value,value` into points, and `--search=path=log(1e-5,1e-2)` into a space, and checks both.

Any value of an override is allowed. It is replaced by the `repr` of the parsed value, so `1e-4` and `0.0001` are equal;
only the name of a part stays as it is written.
"""

from __future__ import annotations

import ast
import copy
import itertools
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import fiddle as fdl

from jersey.cli.flag_texts import split_axis
from jersey.config.overrides import apply_override, resolve
from jersey.config.paths import Parameter
from jersey.config.show import as_text
from jersey.core.errors import UserError
from jersey.lint.checks import check
from jersey.sweep.plan import Assignment, Point
from jersey.sweep.space import Choices, Dimension, Range

_RANGE = re.compile(r"(log|uniform)\((.*)\)")


def sweep_points(config: fdl.Buildable, axes: Sequence[str]) -> list[Point]:
    """Returns a point for each combination of values; those of the last axis vary fastest.

    Args:
        config: config that a point changes; it is copied, not changed.
        axes: a text `path=value,value,...` each.

    Raises:
        UserError: if an axis or a point is invalid, or two axes set the same parameter.
    """
    parsed = [split_axis(axis, "sweep") for axis in axes]
    parameters = _distinct([resolve(config, path) for path, _ in parsed], "sweep")
    assignments = [_assignments(config, each, texts) for each, (_, texts) in zip(parameters, parsed, strict=True)]
    return [point(config, each) for each in itertools.product(*assignments)]


def search_space(config: fdl.Buildable, dimensions: Sequence[str]) -> list[Dimension]:
    """Returns the space of a search.

    Args:
        config: config that a trial changes; it is copied, not changed.
        dimensions: a text `path=log(low,high)`, `path=uniform(low,high)` or `path=value,value,...` each.

    Raises:
        UserError: if a text, a bound or a value is invalid, or two texts set the same parameter.
    """
    parsed = [split_axis(dimension, "search") for dimension in dimensions]
    parameters = _distinct([resolve(config, path) for path, _ in parsed], "search")
    return [_dimension(config, each, texts) for each, (_, texts) in zip(parameters, parsed, strict=True)]


def _dimension(config: fdl.Buildable, parameter: Parameter, texts: list[str]) -> Dimension:
    found = _RANGE.fullmatch(texts[0]) if len(texts) == 1 else None
    if found is None:
        choices = _assignments(config, parameter, texts)
        return Choices(parameter.path, choices[0].name, tuple(each.text for each in choices))
    bounds = [ast.literal_eval(each.text) for each in _assignments(config, parameter, found[2].split(","))]
    where = f"--search={parameter.path}={texts[0]}"
    if len(bounds) != 2 or any(type(bound) not in (int, float) for bound in bounds):
        raise UserError(f"{where} needs two numbers, such as log(1e-5,1e-2)")
    low, high = bounds if {type(bound) for bound in bounds} == {int} else map(float, bounds)
    if low >= high or (found[1] == "log" and low <= 0):
        raise UserError(f"{where} needs a lower bound {'above 0 and ' if found[1] == 'log' else ''}below the upper one")
    return Range(parameter.path, _shortest_name(config, parameter), low, high, is_log=found[1] == "log")


def _distinct(parameters: list[Parameter], flag: str) -> list[Parameter]:
    for one, other in itertools.combinations(parameters, 2):
        shared = min(len(one.slot), len(other.slot))
        if one.slot[:shared] == other.slot[:shared]:
            raise UserError(f"two axes of the {flag} set {one.path}; put all its values in one --{flag}")
    return parameters


def _assignments(config: fdl.Buildable, parameter: Parameter, texts: list[str]) -> list[Assignment]:
    name = _shortest_name(config, parameter)
    parsed: list[Any] = []
    for text in texts:
        changed = copy.deepcopy(config)
        apply_override(changed, f"{parameter.path}={text}")
        value = resolve(changed, parameter.path).value
        if value in parsed:
            first = texts[parsed.index(value)]
            raise UserError(f"{parameter.path} has one value twice, as {first} and {text}; remove one")
        parsed.append(value)
    return [
        Assignment(parameter.path, name, text if isinstance(value, fdl.Buildable) else repr(value))
        for text, value in zip(texts, parsed, strict=True)
    ]


def _shortest_name(config: fdl.Buildable, parameter: Parameter) -> str:
    """Returns the shortest unique ending of the path that does not start with the index of an element."""
    for start in reversed(range(len(parameter.keys))):
        name = ".".join(parameter.keys[start:])
        with suppress(UserError):  # another parameter has this ending too
            if not parameter.keys[start].isdigit() and resolve(config, name).slot == parameter.slot:
                return name
    return parameter.path


def point(config: fdl.Buildable, assignments: tuple[Assignment, ...]) -> Point:
    """Returns the point of these values.

    Raises:
        UserError: if the config with these values is invalid.
    """
    changed = copy.deepcopy(config)
    try:
        for assignment in assignments:
            apply_override(changed, assignment.override)
        check(changed)
    except UserError as error:
        raise UserError(f"{', '.join(map(str, assignments))}: {error}") from None
    return Point(assignments, as_text(changed))
