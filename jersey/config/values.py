"""Parses the values of overrides, by the type that a parameter expects.

The type comes from the annotation or, without one, from the current value of the parameter. Only literals are parsed
(`ast.literal_eval`, never `eval`), and the result always has the expected type. The same text can mean different
values: `00` is a label if a string is expected and an error if a number is, so the label "00" never becomes 0. Parsing
the `repr` of a value returns the value.
"""

from __future__ import annotations

import ast
import collections.abc
import inspect
import math
import os
import pathlib
import re
import types
import typing
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

UNKNOWN: Any = inspect.Parameter.empty
"""Marks a missing annotation or a missing value."""

SEQUENCES = (tuple, list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
PATHS = (pathlib.Path, pathlib.PurePath, os.PathLike)

# A string literal, and a number such as 00 or 07, unlike 1e-07 and 0.05.
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_LEADING_ZERO = re.compile(r"(?<![\w.])(?<![eE][-+])0[0-9]")
_CLOSING = {"(": ")", "[": "]", "{": "}"}


class TypeMismatch(ValueError):
    """A value or a text is not of the expected type."""


def parse(text: str, expected: Any) -> Any:
    """Returns `text` as a value of the type `expected`.

    Literals are tried first (`1e-4`, `None`, `'text'`, `(1, 2)`), with their own types if possible, then with ints as
    floats. Words without quotes follow: true and false, choices of a Literal, lists such as `0,00,23`, plain text.

    Args:
        text: value as it is written in an override.
        expected: annotation, such as `tuple[str, ...] | None`.

    Raises:
        TypeMismatch: if the text is not a value of that type.
    """
    text = text.strip()
    value = literal(text)
    if value is not UNKNOWN:
        for promote in (False, True):
            with suppress(TypeMismatch):
                return coerce(value, expected, promote)
    return _parse_bare(text, expected)


def coerce(value: Any, expected: Any, promote: bool = True) -> Any:
    """Returns `value` as the type `expected`, including its members.

    Args:
        value: plain value, or a list, tuple or dictionary of them.
        expected: annotation; the member of a union that is the type of `value` takes precedence.
        promote: whether an int is accepted as a float.

    Raises:
        TypeMismatch: if the value does not have that type.
    """
    own_kind_first = sorted(alternatives(expected), key=lambda each: origin_of(each) is not type(value))
    for alternative in own_kind_first:
        with suppress(TypeMismatch):
            return _coerce_one(value, alternative, promote)
    raise TypeMismatch


def _coerce_one(value: Any, expected: Any, promote: bool) -> Any:
    kind: Any = type(value)
    expected = kind if expected is Any else expected
    origin = origin_of(expected)
    # Types are compared too, because 1 and True are equal.
    if origin is typing.Literal and (kind, value) in [(type(choice), choice) for choice in typing.get_args(expected)]:
        return value
    if (kind is expected and expected in (bool, str, types.NoneType)) or (kind is str and origin in PATHS):
        return value
    if (kind is expected and expected in (int, float)) or (kind is int and expected is float and promote):
        return expected(_bounded(value))
    if origin in SEQUENCES and kind in (tuple, list):
        declared = element_types(expected, len(value))
        elements = [coerce(element, type_, promote) for element, type_ in zip(value, declared, strict=True)]
        return origin(elements) if origin in (tuple, list) else kind(elements)
    if origin in MAPPINGS and kind is dict:
        key_type, value_type = typing.get_args(expected) or (Any, Any)
        return {coerce(key, key_type, promote): coerce(each, value_type, promote) for key, each in value.items()}
    raise TypeMismatch


def literal(text: str) -> Any:
    """Returns `text` as a Python literal, else UNKNOWN; a number with a leading zero is not a literal."""
    if _LEADING_ZERO.search(_QUOTED.sub("", text)):
        return UNKNOWN
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of a bad escape in a path such as `data\\s`
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return UNKNOWN


def _parse_bare(text: str, expected: Any) -> Any:
    """Parses words without quotes; if both a list and a string are allowed, a text with commas is a list."""
    allowed = alternatives(expected)
    if bool in allowed and text in ("true", "false"):
        return text == "true"
    if any(origin_of(each) is typing.Literal and text in typing.get_args(each) for each in allowed):
        return text
    for each in allowed:
        if origin_of(each) in SEQUENCES and "," in text:
            with suppress(TypeMismatch):
                return _parse_list(text, each)
    if allows_text(expected) and _is_plain_text(text):
        return text
    raise TypeMismatch


def allows_text(expected: Any) -> bool:
    """Returns whether any text, in quotes, is a value of the type."""
    return any(each is str or origin_of(each) in PATHS for each in alternatives(expected))


def _parse_list(text: str, expected: Any) -> Any:
    if text[0] + text[-1] in ("()", "[]"):
        text = text[1:-1]
    items = list(pieces(text.removesuffix(","), ","))
    elements = element_types(expected, len(items))
    values = [parse(item, element) for item, element in zip(items, elements, strict=True)]
    return values if origin_of(expected) is list else tuple(values)


def pieces(text: str, separator: str) -> Iterator[str]:
    """Yields the parts of `text` between separators outside brackets and quotes.

    Args:
        text: text in which an apostrophe inside of a word is not a quote.
        separator: a single character.

    Raises:
        TypeMismatch: if a bracket is not closed; the message is the missing bracket.
    """
    start, position, closing = 0, 0, ""  # start of the part, position in the text, and the brackets still to be closed
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
        raise TypeMismatch(closing[-1])
    yield text[start:]


def _is_plain_text(text: str) -> bool:
    """Whether the text may be a string without quotes: it is not None and does not look like a broken literal."""
    return text.isprintable() and text not in ("", "None") and text[0] not in "'\"([{" and text[-1] not in "'\""


def _bounded(number: float) -> float:
    """Returns a finite float or a 64-bit integer as it is; Python cannot even print a very long integer."""
    is_allowed = math.isfinite(number) if isinstance(number, float) else abs(number) < 2**63
    if not is_allowed:
        raise TypeMismatch
    return number


def expected_type(annotation: Any, value: Any, default: Any = UNKNOWN) -> Any:
    """Returns the type that a new value of a parameter must have.

    Args:
        annotation: annotation of the parameter, which determines the type; UNKNOWN without one.
        value: current value, whose type is used without an annotation; None is allowed if it is None.
        default: default of the parameter; None is allowed if it is None.
    """
    expected = type_of(value) if annotation in (UNKNOWN, Any, object) else annotation
    return typing.Optional[expected] if value is None or default is None else expected  # noqa: UP045 (`|` fails on some)


def type_of(value: Any) -> Any:
    """Returns the type that a value implies: any number for an int, anything for None, Never for another object."""
    scalars: dict[Any, Any] = {bool: bool, int: int | float, float: int | float, str: str}
    for kind, suggested in scalars.items():
        if isinstance(value, kind):
            return suggested
    if isinstance(value, tuple):
        return tuple[_common_type(value), ...]  # type: ignore[misc]  # the type is created at run time
    if isinstance(value, list):
        return list[_common_type(value)]  # type: ignore[misc]
    if isinstance(value, dict):
        return dict[_common_type(value), _common_type(value.values())]  # type: ignore[misc]
    return Any if value is None or value is UNKNOWN else typing.Never


def alternatives(annotation: Any) -> list[Any]:
    """Returns the members of a union, with Annotated and NewType resolved; Any if nothing is declared."""
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
    """Returns `tuple` for `tuple[int, ...]`, Literal for `Literal["a"]`, and any type without arguments as it is."""
    return typing.get_origin(alternative) or alternative


def is_plain_type(alternative: Any) -> bool:
    """Whether all values of the type are numbers, strings, booleans or None, so that a sub-config is not allowed."""
    return alternative in (bool, int, float, str, types.NoneType) or origin_of(alternative) is typing.Literal


def element_types(sequence: Any, count: int) -> list[Any]:
    """Returns the types of `count` elements of a sequence type; raises a TypeMismatch if its length differs."""
    arguments = typing.get_args(sequence)
    if not arguments:
        return [Any] * count
    if origin_of(sequence) is not tuple or arguments[-1] is Ellipsis:
        return [arguments[0]] * count
    if len(arguments) != count:
        raise TypeMismatch
    return list(arguments)


def member_annotation(annotation: Any, members: dict[Any, Any] | list[Any] | tuple[Any, ...], key: Any) -> Any:
    """Returns the type that the annotation of the collection `members` declares for its member `key`, else UNKNOWN."""
    for alternative in alternatives(annotation):
        origin = origin_of(alternative)
        if isinstance(members, dict) and origin in MAPPINGS:
            return (typing.get_args(alternative) or (Any, Any))[1]
        if not isinstance(members, dict) and origin in SEQUENCES:
            with suppress(TypeMismatch):
                return element_types(alternative, len(members))[key]
    return UNKNOWN


def describe(annotation: Any) -> str:
    """Returns the type in words, such as "float or None" or "one of 'stretch', 'letterbox'"."""
    return " or ".join(dict.fromkeys(map(_name, alternatives(annotation))))


def _name(alternative: Any) -> str:
    if origin_of(alternative) is typing.Literal:
        choices = ", ".join(map(repr, typing.get_args(alternative)))
        return f"one of {choices}"
    special: dict[Any, str] = {Any: "a literal (strings in quotes)", typing.Never: "an object made by Python code"}
    special |= {bool: "True or False", types.NoneType: "None"}
    if alternative in special:
        return special[alternative]
    if isinstance(alternative, type) and not typing.get_args(alternative):
        return alternative.__name__
    return str(alternative).replace("typing.", "").replace("collections.abc.", "")


def _common_type(values: collections.abc.Iterable[Any]) -> Any:
    """Returns the type that all values imply; Any if they imply several or there are none."""
    found = set(map(type_of, values))
    return found.pop() if len(found) == 1 else Any
