"""`--sweep=path=value,value`: the axes of a sweep, and the points that they span, checked before anything starts.

A value may be whatever an override takes. It becomes the `repr` of what it means, so that `1e-4` and `0.0001` are one.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

import fiddle as fdl

from jersey.config import paths
from jersey.config.overrides import apply_override, resolve
from jersey.config.paths import Parameter
from jersey.config.show import as_text
from jersey.core.errors import UserError
from jersey.lint.checks import check
from jersey.sweep.plan import Assignment, Point

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def sweep_points(config: fdl.Buildable, axes: Sequence[str]) -> list[Point]:
    """The product of all axes, the last varying fastest; `config` is left as it is.

    Args:
        config: of the experiment, after all fiddlers and overrides: a sweep has the last word.
        axes: `path=value,value,...`, cut at commas outside brackets and quotes.

    Raises:
        UserError: something is wrong with an axis, or with any one of the points.
    """
    parameters: list[Parameter] = []
    values: list[list[Assignment]] = []
    for axis in axes:
        path, texts = split_axis(axis)
        parameter = resolve(config, path)
        _require_apart(parameter, parameters)
        parameters.append(parameter)
        values.append(_assignments(config, parameter, texts))
    return [_point(config, assignments) for assignments in itertools.product(*values)]


def split_axis(axis: str) -> tuple[str, list[str]]:
    """The path and the texts of the values."""
    path = next(_pieces(axis, "="))
    if not path.strip() or path == axis:
        raise UserError(f"--sweep={axis!r} is not an axis; write path=value,value, such as lr=1e-4,3e-4")
    texts = [text.strip() for text in _pieces(axis[len(path) + 1 :], ",")]
    if "" in texts:
        raise UserError(f"--sweep={axis!r} has an empty value; take out the comma, or write '' for an empty text")
    return path.strip(), texts


def _pieces(text: str, separator: str) -> Iterator[str]:
    """What stands between the separators outside brackets and quotes; an apostrophe within a word is no quote."""
    start, position, closing = 0, 0, ""
    while position < len(text):
        character = text[position]
        may_quote = closing or not text[start:position].strip()
        if may_quote and (quoted := _QUOTED.match(text, position)):
            position = quoted.end()
            continue
        if character in _CLOSING:
            closing += _CLOSING[character]
        elif closing.endswith(character):
            closing = closing[:-1]
        elif character == separator and not closing:
            yield text[start:position]
            start = position + 1
        position += 1
    if closing:
        raise UserError(f"--sweep={text!r} lacks a {closing[-1]}; a text with a bracket in it needs quotes")
    yield text[start:]


def _require_apart(parameter: Parameter, others: list[Parameter]) -> None:
    for other in others:
        shared = min(len(parameter.place), len(other.place))
        if parameter.place[:shared] == other.place[:shared]:
            raise UserError(f"two axes of the sweep set {other.path}; put all its values in one --sweep")


def _assignments(config: fdl.Buildable, parameter: Parameter, texts: list[str]) -> list[Assignment]:
    name = _shortest_name(config, parameter)
    values: list[Any] = []
    for text in texts:
        changed = copy.deepcopy(config)
        apply_override(changed, f"{parameter.path}={text}")
        value = paths.read(changed, parameter.path)
        if value in values:
            twin = texts[values.index(value)]
            raise UserError(f"the sweep over {parameter.path} has one value twice, as {twin} and {text}; leave one out")
        values.append(value)
    return [Assignment(parameter.path, name, repr(value)) for value in values]


def _shortest_name(config: fdl.Buildable, parameter: Parameter) -> str:
    """The shortest ending of the path that an override would take; the index of an element needs its list."""
    for start in reversed(range(len(parameter.keys))):
        name = ".".join(parameter.keys[start:])
        try:
            if not parameter.keys[start].isdigit() and resolve(config, name).place == parameter.place:
                return name
        except UserError:
            continue  # another parameter ends so too
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
