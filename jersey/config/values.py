"""Text to values, by type: what may stand right of the `=` in an override.

Only literals are read (`ast.literal_eval`, never `eval`), and only what the wanted type allows comes out. The type
decides how a text is read: `00` is a label where text is wanted and nothing where a number is, so that "00" never
turns into 0 on the way. `repr` is the way back.
"""

from __future__ import annotations

import ast
import math
import re
import types
import typing
import warnings
from typing import Any

from jersey.config.typehints import (
    MAPPINGS,
    PATHS,
    SEQUENCES,
    UNKNOWN,
    alternatives,
    element_types,
    mapping_types,
    origin_of,
)

_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_LEADING_ZERO = re.compile(r"(?<![\w.])(?<![eE][-+])0[0-9]")
_LIST_ITEM = re.compile(rf"\s*({_QUOTED}|[^,'\"()\[\]{{}}]+)\s*(?:,|$)")


class Mismatch(ValueError):
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
            try:
                return fit(value, wanted, promote)
            except Mismatch:
                continue
    return _parse_bare(text, wanted)


def fit(value: Any, wanted: Any, promote: bool = True) -> Any:
    """`value` as `wanted` would hold it (a list as a tuple; with `promote`, an int as a float), else Mismatch."""
    own_kind_first = sorted(alternatives(wanted), key=lambda each: origin_of(each) is not type(value))
    for alternative in own_kind_first:
        try:
            return _fit_one(value, alternative, promote)
        except Mismatch:
            continue
    raise Mismatch


def _fit_one(value: Any, wanted: Any, promote: bool) -> Any:
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
        elements = _element_types(wanted, len(value))
        fitted = [fit(each, element, promote) for each, element in zip(value, elements, strict=True)]
        return origin(fitted) if origin in (tuple, list) else kind(fitted)
    if origin in MAPPINGS and kind is dict:
        key_type, value_type = mapping_types(wanted)
        return {fit(key, key_type, promote): fit(each, value_type, promote) for key, each in value.items()}
    raise Mismatch


def literal(text: str) -> Any:
    """What `text` is as a Python literal, or UNKNOWN; a number written with a leading zero is none."""
    if _LEADING_ZERO.search(re.sub(_QUOTED, "", text)):
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
            try:
                return _parse_list(text, each)
            except Mismatch:
                continue
    if any(each is str or origin_of(each) in PATHS for each in found) and _is_plain(text):
        return text
    raise Mismatch


def _parse_list(text: str, wanted: Any) -> Any:
    """`0,00,23`, `(0, 00)` or `'0', 00,` as `wanted` holds it; each item is read by its own type."""
    if text[0] + text[-1] in ("()", "[]"):
        text = text[1:-1]
    items, end = [], 0
    while end < len(text):
        match = _LIST_ITEM.match(text, end)
        if match is None:
            raise Mismatch
        items.append(match[1])
        end = match.end()
    elements = _element_types(wanted, len(items))
    values = [parse(item, element) for item, element in zip(items, elements, strict=True)]
    return values if origin_of(wanted) is list else tuple(values)


def _element_types(wanted: Any, count: int) -> list[Any]:
    try:
        return element_types(wanted, count)
    except ValueError as error:
        raise Mismatch from error


def _is_plain(text: str) -> bool:
    """Whether quotes may be left out: no sign of a literal gone wrong, and no None where None is not allowed."""
    return text.isprintable() and text not in ("", "None") and text[0] not in "'\"([{" and text[-1] not in "'\""


def _sane(number: float) -> float:
    """`number`, if it is finite and no larger than a machine integer; a longer one cannot even be printed."""
    if not math.isfinite(number) if isinstance(number, float) else abs(number) >= 2**63:
        raise Mismatch
    return number
