"""Text to values, by type: what may stand right of the `=` in an override, and which type a parameter expects.

The type comes from the annotation or, where there is none, from the value that a parameter holds. Only literals are
read (`ast.literal_eval`, never `eval`), and only what the expected type allows comes out. The type decides how a text
is read: `00` is a label where text is expected and nothing where a number is, so that "00" never turns into 0 on the
way. `repr` is the way back.
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
"""Stands for "no annotation" and "no value"."""

SEQUENCES = (tuple, list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
PATHS = (pathlib.Path, pathlib.PurePath, os.PathLike)

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_LEADING_ZERO = re.compile(r"(?<![\w.])(?<![eE][-+])0[0-9]")
_CLOSING = {"(": ")", "[": "]", "{": "}"}


class TypeMismatch(ValueError):
    """A value or a text that the wanted type does not allow."""


def parse(text: str, wanted: Any) -> Any:
    """The value that `text` means where the type `wanted` is wanted; Mismatch when it means none.

    A literal comes first (`1e-4`, `None`, `'text'`, `(1, 2)`), exactly as typed if possible, else with ints counted
    as floats. Then words without quotes: true and false, choices of a Literal, lists such as `0,00,23`, plain text.
    """
    text = text.strip()
    value = literal(text)
    if value is not UNKNOWN:
        for promote in (False, True):
            with suppress(TypeMismatch):
                return coerce(value, wanted, promote)
    return _parse_bare(text, wanted)


def coerce(value: Any, wanted: Any, promote: bool = True) -> Any:
    """`value` as `wanted` would hold it (a list as a tuple; with `promote`, an int as a float), else Mismatch."""
    own_kind_first = sorted(alternatives(wanted), key=lambda each: origin_of(each) is not type(value))
    for alternative in own_kind_first:
        with suppress(TypeMismatch):
            return _coerce_one(value, alternative, promote)
    raise TypeMismatch


def _coerce_one(value: Any, wanted: Any, promote: bool) -> Any:
    kind: Any = type(value)
    wanted = kind if wanted is Any else wanted
    origin = origin_of(wanted)
    if origin is typing.Literal and (kind, value) in [(type(choice), choice) for choice in typing.get_args(wanted)]:
        return value
    if (kind is wanted and wanted in (bool, str, types.NoneType)) or (kind is str and origin in PATHS):
        return value
    if (kind is wanted and wanted in (int, float)) or (kind is int and wanted is float and promote):
        return wanted(_sane(value))
    if origin in SEQUENCES and kind in (tuple, list):
        elements = element_types(wanted, len(value))
        fitted = [coerce(each, element, promote) for each, element in zip(value, elements, strict=True)]
        return origin(fitted) if origin in (tuple, list) else kind(fitted)
    if origin in MAPPINGS and kind is dict:
        key_type, value_type = typing.get_args(wanted) or (Any, Any)
        return {coerce(key, key_type, promote): coerce(each, value_type, promote) for key, each in value.items()}
    raise TypeMismatch


def literal(text: str) -> Any:
    """What `text` is as a Python literal, or UNKNOWN; a number written with a leading zero is none."""
    if _LEADING_ZERO.search(_QUOTED.sub("", text)):
        return UNKNOWN
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a path such as `data\\s` is warned about as a bad escape
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return UNKNOWN


def _parse_bare(text: str, wanted: Any) -> Any:
    """The meaning of words without quotes; a list wins over plain text where both are wanted."""
    found = alternatives(wanted)
    if bool in found and text in ("true", "false"):
        return text == "true"
    if any(origin_of(each) is typing.Literal and text in typing.get_args(each) for each in found):
        return text
    for each in found:
        if origin_of(each) in SEQUENCES and "," in text:
            with suppress(TypeMismatch):
                return _parse_list(text, each)
    if any(each is str or origin_of(each) in PATHS for each in found) and _is_plain(text):
        return text
    raise TypeMismatch


def _parse_list(text: str, wanted: Any) -> Any:
    """`0,00,23`, `(0, 00)` or `'0', 00,` as `wanted` holds it; each item is read by its own type."""
    if text[0] + text[-1] in ("()", "[]"):
        text = text[1:-1]
    items = list(pieces(text.removesuffix(","), ","))
    elements = element_types(wanted, len(items))
    values = [parse(item, element) for item, element in zip(items, elements, strict=True)]
    return values if origin_of(wanted) is list else tuple(values)


def pieces(text: str, separator: str) -> Iterator[str]:
    """What stands between the separators outside brackets and quotes; an apostrophe within a word is no quote.

    Raises:
        Mismatch: a bracket is not closed; names what would close it.
    """
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
        raise TypeMismatch(closing[-1])
    yield text[start:]


def _is_plain(text: str) -> bool:
    """Whether quotes may be left out: no sign of a literal gone wrong, and no None where None is not allowed."""
    return text.isprintable() and text not in ("", "None") and text[0] not in "'\"([{" and text[-1] not in "'\""


def _sane(number: float) -> float:
    """`number`, if it is finite and no larger than a machine integer; a longer one cannot even be printed."""
    if not math.isfinite(number) if isinstance(number, float) else abs(number) >= 2**63:
        raise TypeMismatch
    return number


def expected_type(annotation: Any, value: Any, default: Any = UNKNOWN) -> Any:
    """The type a new value must have: the annotation, else the type of `value`; and None where it was None before."""
    wanted = type_of(value) if annotation in (UNKNOWN, Any, object) else annotation
    return typing.Optional[wanted] if value is None or default is None else wanted  # noqa: UP045 (`|` fails on some)


def type_of(value: Any) -> Any:
    """The type that `value` suggests: an int any number, None anything, an object nothing that a text can name."""
    scalars: dict[Any, Any] = {bool: bool, int: int | float, float: int | float, str: str}
    for kind, suggested in scalars.items():
        if isinstance(value, kind):
            return suggested
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
    """The types of `count` elements of a sequence type; Mismatch when a tuple type has another length."""
    arguments = typing.get_args(sequence)
    if not arguments:
        return [Any] * count
    if origin_of(sequence) is not tuple or arguments[-1] is Ellipsis:
        return [arguments[0]] * count
    if len(arguments) != count:
        raise TypeMismatch
    return list(arguments)


def member_annotation(annotation: Any, members: dict[Any, Any] | list[Any] | tuple[Any, ...], key: Any) -> Any:
    """The declared type of the member `key` of a collection annotated so; UNKNOWN when none is declared."""
    for alternative in alternatives(annotation):
        origin = origin_of(alternative)
        if isinstance(members, dict) and origin in MAPPINGS:
            return (typing.get_args(alternative) or (Any, Any))[1]
        if not isinstance(members, dict) and origin in SEQUENCES:
            with suppress(TypeMismatch):
                return element_types(alternative, len(members))[key]
    return UNKNOWN


def describe(annotation: Any) -> str:
    """The type in words, for an error: "float or None", "one of 'stretch', 'letterbox'"."""
    return " or ".join(dict.fromkeys(map(_name, alternatives(annotation))))


def _name(alternative: Any) -> str:
    if origin_of(alternative) is typing.Literal:
        choices = ", ".join(map(repr, typing.get_args(alternative)))
        return f"one of {choices}"
    special: dict[Any, str] = {Any: "a literal (text in quotes)", typing.Never: "what only Python code can give"}
    special |= {bool: "True or False", types.NoneType: "None"}
    if alternative in special:
        return special[alternative]
    if isinstance(alternative, type) and not typing.get_args(alternative):
        return alternative.__name__
    return str(alternative).replace("typing.", "").replace("collections.abc.", "")


def _common_type(values: collections.abc.Iterable[Any]) -> Any:
    found = set(map(type_of, values))
    return found.pop() if len(found) == 1 else Any
