"""Everything in a config graph that has a path: sub-configs, values, and parameters that are not set yet.

Fiddle's own flattening knows only what is set. An override may also name a parameter that the callable would accept,
and it needs the annotation to check the new value, so the graph is walked here once, with both.

A path is written `module.optimizer.lr`, `callbacks['my key'].decay` or `layers[0].width`. Inside, it is a tuple of
strings: `[0]`, `['0']` and `.0` are one key, because a shell may have eaten the quotes.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Literal

import fiddle as fdl
from fiddle import signatures

from jersey.config import values
from jersey.config.values import UNKNOWN

Kind = Literal["node", "leaf", "element", "unset"]

_KEY = re.compile(
    r"""\.(?P<word>[^.\[\]='"]+)|\.?\[\s*(?P<bracketed>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\[\]'"]+?)\s*\]"""
)


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One place in a config graph.

    kind: "node" holds sub-configs; "leaf" is a value that is set, lists, tuples and dictionaries of plain values
        included; "element" is one member of such a collection; "unset" is a parameter left to its default.
    value: what is set, else the default, else UNKNOWN.
    wanted: the type that a new value must have.
    place: equal for two paths that lead to one place, through a sub-config that is used twice.
    put: writes a new value there.
    """

    keys: tuple[str, ...]
    path: str
    kind: Kind
    value: Any
    wanted: Any
    place: tuple[Any, ...]
    put: Callable[[Any], None]


def parameters(config: fdl.Buildable) -> list[Parameter]:
    """All of `config`: the root first, its path empty, and each node before its members, in signature order."""
    return list(_walk(Parameter((), "", "node", config, Any, (), _keep_root)))


def read(config: fdl.Buildable, path: str, missing: Any = None) -> Any:
    """The value at the full `path`, set or by default; `missing` where this config has no such parameter."""
    found = {parameter.path: parameter.value for parameter in parameters(config)}
    value = found.get(path, UNKNOWN)
    return missing if value is UNKNOWN else value


def split(path: str) -> tuple[str, ...] | None:
    """The keys of a written path, with `['key']`, `[key]` and `.key` alike; None when it is not a path."""
    tokens = list(_KEY.finditer(f".{path}"))
    if "".join(token[0] for token in tokens) != f".{path}":
        return None
    return tuple(token["word"] or _unquoted(token["bracketed"]) for token in tokens)


def _walk(parameter: Parameter) -> Iterator[Parameter]:
    yield parameter
    if parameter.kind == "unset":
        return
    if isinstance(parameter.value, fdl.Buildable):
        yield from _each(_set_arguments(parameter))
        yield from _unset_arguments(parameter)
    elif isinstance(parameter.value, (dict, list, tuple)):
        yield from _each(_members(parameter))


def _each(children: Iterator[Parameter]) -> Iterator[Parameter]:
    for child in children:
        yield from _walk(child)


def _set_arguments(parent: Parameter) -> Iterator[Parameter]:
    """The arguments that a sub-config sets, in signature order, members of `**keywords` last."""
    signature, hints = _declared(parent.value)
    keywords = next((each.name for each in signature.values() if each.kind is each.VAR_KEYWORD), "")
    for key, value in fdl.ordered_arguments(parent.value).items():
        default = _default(signature[key]) if key in signature else UNKNOWN
        hint = hints.get(key if key in signature else keywords, UNKNOWN)
        yield _child(parent, key, value, values.wanted_type(hint, value, default))


def _unset_arguments(parent: Parameter) -> Iterator[Parameter]:
    """The arguments left out, except those that a Partial cannot be called without: they come at run time and win."""
    signature, hints = _declared(parent.value)
    already = fdl.ordered_arguments(parent.value)
    for name, declared in signature.items():
        is_named = declared.kind in (declared.POSITIONAL_OR_KEYWORD, declared.KEYWORD_ONLY)
        comes_later = isinstance(parent.value, fdl.Partial) and declared.default is declared.empty
        if is_named and not comes_later and name not in already:
            default = _default(declared)
            wanted = values.wanted_type(hints.get(name, UNKNOWN), default)
            yield dataclasses.replace(_child(parent, name, default, wanted), kind="unset")


def _members(parent: Parameter) -> Iterator[Parameter]:
    members = parent.value
    for key, value in members.items() if isinstance(members, dict) else enumerate(members):
        hint = values.member_annotation(parent.wanted, members, key)
        yield _child(parent, key, value, values.wanted_type(hint, value))


def _child(parent: Parameter, key: Any, value: Any, wanted: Any) -> Parameter:
    kind: Kind = "node" if _holds_configs(value) else "leaf" if parent.kind == "node" else "element"
    text = f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"
    place = (id(parent.value), key) if isinstance(parent.value, fdl.Buildable) else (*parent.place, key)
    path = f"{parent.path}{text}".removeprefix(".")
    return Parameter((*parent.keys, str(key)), path, kind, value, wanted, place, partial(_put, parent, key))


def _put(parent: Parameter, key: Any, value: Any) -> None:
    if isinstance(parent.value, tuple):
        parent.put((*parent.value[:key], value, *parent.value[key + 1 :]))
    elif isinstance(parent.value, fdl.Buildable) and isinstance(key, str):
        setattr(parent.value, key, value)
    else:
        parent.value[key] = value


def _keep_root(value: Any) -> None:
    raise AssertionError("the root of a config has no place to put another")


def _holds_configs(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_holds_configs, value))
    if isinstance(value, dict):
        return any(map(_holds_configs, value.values()))
    return isinstance(value, fdl.Buildable)


def _declared(buildable: fdl.Buildable) -> tuple[Mapping[str, inspect.Parameter], dict[str, Any]]:
    """The signature and the annotations of what `buildable` calls; no annotations if one cannot be resolved."""
    function = fdl.get_callable(buildable)
    return signatures.get_signature(function).parameters, signatures.get_type_hints(function)


def _default(declared: inspect.Parameter) -> Any:
    # A dataclass stands a private marker for a default_factory: there is a default, but none to show.
    is_factory = type(declared.default).__name__ == "_HAS_DEFAULT_FACTORY_CLASS"
    return UNKNOWN if is_factory else declared.default


def _unquoted(text: str) -> str:
    value = values.literal(text)
    return value if isinstance(value, str) else text
