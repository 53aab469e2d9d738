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
from collections.abc import Iterator
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
    place: equal for two paths that lead to one place, through a sub-config that is used twice; ends in the key there.
    """

    keys: tuple[str, ...]
    path: str
    kind: Kind
    value: Any
    expected_type: Any
    slot: tuple[Any, ...]
    parent: Parameter | None = dataclasses.field(repr=False)

    def set(self, value: Any) -> None:
        """Writes a new value there."""
        assert self.parent is not None, "the root of a config has no place to put another"
        members, key = self.parent.value, self.slot[-1]
        if isinstance(members, tuple):
            self.parent.set((*members[:key], value, *members[key + 1 :]))
        elif isinstance(members, fdl.Buildable) and isinstance(key, str):
            setattr(members, key, value)
        else:
            members[key] = value


class Values(dict[str, Any]):
    """What a config sets or leaves to a default, sub-configs too, by full path; without what cannot be told."""

    def __missing__(self, path: str) -> Any:
        raise LookupError(f"the config has no {path}")


def values_of(config: fdl.Buildable) -> Values:
    """All values of `config` by path."""
    return Values((each.path, each.value) for each in parameters(config) if each.value is not UNKNOWN)


def parameters(config: fdl.Buildable) -> list[Parameter]:
    """All of `config`: the root first, its path empty, and each node before its members, in signature order."""
    return list(_walk(Parameter((), "", "node", config, Any, (), None)))


def split(path: str) -> tuple[str, ...] | None:
    """The keys of a written path, with `['key']`, `[key]` and `.key` alike; None when it is not a path."""
    tokens = list(_KEY.finditer(f".{path}"))
    if "".join(token[0] for token in tokens) != f".{path}":
        return None
    return tuple(token["word"] or _unquoted(token["bracketed"]) for token in tokens)


def _walk(parameter: Parameter) -> Iterator[Parameter]:
    yield parameter
    if parameter.kind != "unset":
        for child in _arguments(parameter) if isinstance(parameter.value, fdl.Buildable) else _members(parameter):
            yield from _walk(child)


def _arguments(parent: Parameter) -> Iterator[Parameter]:
    """What a sub-config sets, in signature order, members of `**keywords` last; then what it leaves to defaults.

    What a Partial cannot be called without is left out: it comes at run time and wins.
    """
    function, given = fdl.get_callable(parent.value), fdl.ordered_arguments(parent.value)
    signature, hints = signatures.get_signature(function).parameters, signatures.get_type_hints(function)
    keywords = next((each.name for each in signature.values() if each.kind is each.VAR_KEYWORD), "")
    for key, value in given.items():
        default = _default(signature[key]) if key in signature else UNKNOWN
        hint = hints.get(key if key in signature else keywords, UNKNOWN)
        yield _child(parent, key, value, values.expected_type(hint, value, default))
    for name, declared in signature.items():
        is_named = declared.kind in (declared.POSITIONAL_OR_KEYWORD, declared.KEYWORD_ONLY)
        comes_later = isinstance(parent.value, fdl.Partial) and declared.default is declared.empty
        if is_named and not comes_later and name not in given:
            default = _default(declared)
            wanted = values.expected_type(hints.get(name, UNKNOWN), default)
            yield dataclasses.replace(_child(parent, name, default, wanted), kind="unset")


def _members(parent: Parameter) -> Iterator[Parameter]:
    for key, value in members_of(parent.value):
        hint = values.member_annotation(parent.expected_type, parent.value, key)
        yield _child(parent, key, value, values.expected_type(hint, value))


def members_of(value: Any) -> list[tuple[Any, Any]]:
    """Keys and members of a sub-config or a collection; none of another value."""
    if isinstance(value, fdl.Buildable):
        return list(fdl.ordered_arguments(value).items())
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, (list, tuple)) else []


def _child(parent: Parameter, key: Any, value: Any, wanted: Any) -> Parameter:
    kind: Kind = "node" if _holds_configs(value) else "leaf" if parent.kind == "node" else "element"
    text = f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"
    place = (id(parent.value), key) if isinstance(parent.value, fdl.Buildable) else (*parent.slot, key)
    return Parameter(
        (*parent.keys, str(key)), f"{parent.path}{text}".removeprefix("."), kind, value, wanted, place, parent
    )


def _holds_configs(value: Any) -> bool:
    return isinstance(value, fdl.Buildable) or any(_holds_configs(member) for _, member in members_of(value))


def _default(declared: inspect.Parameter) -> Any:
    # A dataclass stands a private marker for a default_factory: there is a default, but none to show.
    is_factory = type(declared.default).__name__ == "_HAS_DEFAULT_FACTORY_CLASS"
    return UNKNOWN if is_factory else declared.default


def _unquoted(text: str) -> str:
    value = values.literal(text)
    return value if isinstance(value, str) else text
