"""What type a parameter wants, from its annotation or, where there is none, from the value it holds.

Annotations are taken apart into plain alternatives here, so that `values` need not know how Python spells them.
"""

from __future__ import annotations

import collections.abc
import inspect
import os
import pathlib
import types
import typing
from typing import Any

UNKNOWN: Any = inspect.Parameter.empty
"""Stands for "no annotation" and "no value"."""

SEQUENCES = (tuple, list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
PATHS = (pathlib.Path, pathlib.PurePath, os.PathLike)


def wanted_type(annotation: Any, value: Any, default: Any = UNKNOWN) -> Any:
    """The type a new value must have: the annotation, else the type of `value`; and None where it was None before."""
    wanted = type_of(value) if annotation in (UNKNOWN, Any, object) else annotation
    return typing.Optional[wanted] if value is None or default is None else wanted  # noqa: UP045 (`|` fails on some)


def type_of(value: Any) -> Any:
    """The type that `value` suggests: an int any number, None anything, an object nothing that a text can name."""
    if isinstance(value, bool):
        return bool
    if isinstance(value, (int, float)):
        return int | float
    if isinstance(value, str):
        return str
    if isinstance(value, tuple):
        return tuple[_common_type(value), ...]  # type: ignore[misc]  # a type made at run time
    if isinstance(value, list):
        return list[_common_type(value)]  # type: ignore[misc]
    if isinstance(value, dict):
        return dict[_common_type(value), _common_type(value.values())]  # type: ignore[misc]
    return Any if value is None or value is UNKNOWN else typing.Never


def alternatives(annotation: Any) -> list[Any]:
    """What a union lists, and what Annotated, NewType and type variables stand for; Any where nothing is declared."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [each for argument in typing.get_args(annotation) for each in alternatives(argument)]
    if typing.get_origin(annotation) is typing.Annotated:
        return alternatives(typing.get_args(annotation)[0])
    if isinstance(annotation, typing.NewType):
        return alternatives(annotation.__supertype__)
    if isinstance(annotation, typing.TypeVar) or annotation in (UNKNOWN, object):
        return [Any]
    return [types.NoneType if annotation is None else annotation]


def origin_of(alternative: Any) -> Any:
    """`tuple` for `tuple[int, ...]`, Literal for `Literal["a"]`, the type itself where it takes no arguments."""
    return typing.get_origin(alternative) or alternative


def is_of_values(alternative: Any) -> bool:
    """Whether the type holds a number, a text, True, False or None, so that no sub-config can stand there."""
    return alternative in (bool, int, float, str, types.NoneType) or origin_of(alternative) is typing.Literal


def element_types(sequence: Any, count: int) -> list[Any]:
    """The types of `count` elements of a sequence type; ValueError when a tuple type has another length."""
    arguments = typing.get_args(sequence)
    if not arguments:
        return [Any] * count
    if origin_of(sequence) is not tuple or arguments[-1] is Ellipsis:
        return [arguments[0]] * count
    if len(arguments) != count:
        raise ValueError(f"{count} values, not {len(arguments)}")
    return list(arguments)


def mapping_types(mapping: Any) -> tuple[Any, Any]:
    """The types of the keys and of the values of a mapping type."""
    return typing.get_args(mapping) or (Any, Any)


def member_annotation(annotation: Any, members: dict[Any, Any] | list[Any] | tuple[Any, ...], key: Any) -> Any:
    """The declared type of the member `key` of a collection annotated so; UNKNOWN when none is declared."""
    for alternative in alternatives(annotation):
        origin = origin_of(alternative)
        if isinstance(members, dict) and origin in MAPPINGS:
            return mapping_types(alternative)[1]
        if not isinstance(members, dict) and origin in SEQUENCES:
            try:
                return element_types(alternative, len(members))[key]
            except ValueError:
                continue
    return UNKNOWN


def describe(annotation: Any) -> str:
    """The type in words, for an error: "float or None", "one of 'stretch', 'letterbox'"."""
    return " or ".join(dict.fromkeys(map(_name, alternatives(annotation))))


def _name(alternative: Any) -> str:
    if origin_of(alternative) is typing.Literal:
        choices = ", ".join(map(repr, typing.get_args(alternative)))
        return f"one of {choices}"
    special = {Any: "a literal (text in quotes)", bool: "True or False", types.NoneType: "None"}
    if alternative in special:
        return special[alternative]
    if alternative is typing.Never:
        return "what only Python code can give"
    if isinstance(alternative, type) and not typing.get_args(alternative):
        return alternative.__name__
    return str(alternative).replace("typing.", "").replace("collections.abc.", "")


def _common_type(values: collections.abc.Iterable[Any]) -> Any:
    found = set(map(type_of, values))
    return found.pop() if len(found) == 1 else Any
