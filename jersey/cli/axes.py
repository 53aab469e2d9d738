"""Parses `--sweep=path=value,value` into the axes and points of a sweep, and checks them before any run starts.

Any value of an override is allowed. It is replaced by the `repr` of the parsed value, so `1e-4` and `0.0001` are equal;
only the name of a part stays as it is written.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import fiddle as fdl

from jersey.config import values
from jersey.config.overrides import apply_override, resolve
from jersey.config.paths import Parameter
from jersey.config.show import as_text
from jersey.core.errors import UserError, shorten
from jersey.lint.checks import check
from jersey.sweep.plan import Assignment, Point


def sweep_points(config: fdl.Buildable, axes: Sequence[str]) -> list[Point]:
    """Returns a point for each combination of values; those of the last axis vary fastest.

    Args:
        config: config that a point changes; it is copied, not changed.
        axes: a text `path=value,value,...` each.

    Raises:
        UserError: if an axis or a point is invalid, or two axes set the same parameter.
    """
    parameters: list[Parameter] = []
    assignments: list[list[Assignment]] = []
    for path, texts in map(split_axis, axes):
        parameter = resolve(config, path)
        for other in parameters:
            shared = min(len(parameter.slot), len(other.slot))
            if parameter.slot[:shared] == other.slot[:shared]:
                raise UserError(f"two axes of the sweep set {other.path}; put all its values in one --sweep")
        parameters.append(parameter)
        assignments.append(_assignments(config, parameter, texts))
    return [_point(config, each) for each in itertools.product(*assignments)]


def split_axis(axis: str) -> tuple[str, list[str]]:
    """Returns the path and the texts of the values, split at commas outside brackets and quotes.

    Raises:
        UserError: if the text is not an axis, or a value is empty.
    """
    try:
        path = next(values.pieces(axis, "="))
        texts = [text.strip() for text in values.pieces(axis[len(path) + 1 :], ",")]
    except values.TypeMismatch as bracket:
        raise UserError(
            f"--sweep={shorten(axis)!r} lacks a {bracket}; a string that contains a bracket needs quotes"
        ) from None
    if not path.strip() or path == axis:
        raise UserError(f"--sweep={shorten(axis)!r} is not an axis; write path=value,value, such as lr=1e-4,3e-4")
    if "" in texts:
        raise UserError(
            f"--sweep={shorten(axis)!r} has an empty value; remove the comma, or write '' for an empty string"
        )
    return path.strip(), texts


def _assignments(config: fdl.Buildable, parameter: Parameter, texts: list[str]) -> list[Assignment]:
    name = _shortest_name(config, parameter)
    parsed: list[Any] = []
    for text in texts:
        changed = copy.deepcopy(config)
        apply_override(changed, f"{parameter.path}={text}")
        value = resolve(changed, parameter.path).value
        if value in parsed:
            first = texts[parsed.index(value)]
            raise UserError(f"the sweep over {parameter.path} has one value twice, as {first} and {text}; remove one")
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


def _point(config: fdl.Buildable, assignments: tuple[Assignment, ...]) -> Point:
    changed = copy.deepcopy(config)
    try:
        for assignment in assignments:
            apply_override(changed, assignment.override)
        check(changed)
    except UserError as error:
        raise UserError(f"the sweep's {', '.join(map(str, assignments))}: {error}") from None
    return Point(assignments, as_text(changed))
