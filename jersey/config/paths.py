"""Paths in a config graph: sub-configs, values, and parameters that are left to their defaults.

Fiddle's own flattening lists only what is set. An override may also name a parameter that the callable accepts, and the
annotation is needed to check the new value, so this module walks the graph and collects both.

A path is written `module.optimizer.lr`, `callbacks['my key'].decay` or `layers[0].width`. Internally it is a tuple of
strings: `[0]`, `['0']` and `.0` are the same key, because a shell may have removed the quotes.
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

# One key of a written path: `.name` without brackets or quotes in the name; or a bracket with a string or a bare key.
_KEY = re.compile(
    r"""\.(?P<word>[^.\[\]='"]+)|\.?\[\s*(?P<bracketed>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\[\]'"]+?)\s*\]"""
)


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One place in a config graph.

    Attributes:
        keys: path as a tuple of strings.
        path: path as it is written.
        kind: "node" for a sub-config or a collection that contains one; "leaf" for a set value, which may be a list,
            tuple or dictionary of plain values; "element" for one member of such a collection; "unset" for a
            parameter that is left to its default.
        value: set value, else the default, else UNKNOWN.
        expected_type: type that a new value must have.
        slot: identifier that is equal for two paths if they reach the same place through a shared sub-config; its last
            entry is the key of the place in its parent.
        parent: sub-config or collection that contains it; None for the root.
    """

    keys: tuple[str, ...]
    path: str
    kind: Kind
    value: Any
    expected_type: Any
    slot: tuple[Any, ...]
    parent: Parameter | None = dataclasses.field(repr=False)

    def set(self, value: Any) -> None:
        """Replaces the value in the config."""
        assert self.parent is not None, "the root of a config cannot be replaced"
        members, key = self.parent.value, self.slot[-1]
        if isinstance(members, tuple):
            self.parent.set((*members[:key], value, *members[key + 1 :]))
        elif isinstance(members, fdl.Buildable) and isinstance(key, str):
            setattr(members, key, value)
        else:
            members[key] = value


class Values(dict[str, Any]):
    """The set values and the defaults of a config by full path, with sub-configs; unknown defaults are missing."""

    def __missing__(self, path: str) -> Any:
        raise LookupError(f"the config has no {path}")


def values_of(config: fdl.Buildable) -> Values:
    """Returns all values of `config` by path."""
    return Values((each.path, each.value) for each in parameters(config) if each.value is not UNKNOWN)


def parameters(config: fdl.Buildable) -> list[Parameter]:
    """Returns every place in `config`: first the root, with an empty path, and each node before its members."""
    return list(_walk(Parameter((), "", "node", config, Any, (), None)))


def split(path: str) -> tuple[str, ...] | None:
    """Returns the keys of a written path, in which `['key']`, `[key]` and `.key` are equal; None for other text."""
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
    """Yields what a sub-config sets, in signature order, members of `**keywords` last; then its defaults.

    Required arguments of a Partial are skipped: they are passed at run time and would override a value set here.
    """
    function, given = fdl.get_callable(parent.value), fdl.ordered_arguments(parent.value)
    signature, hints = signatures.get_signature(function).parameters, signatures.get_type_hints(function)
    # Name of `**keywords`, whose annotation is that of all its members.
    keywords = next((each.name for each in signature.values() if each.kind is each.VAR_KEYWORD), "")
    for key, value in given.items():
        default = _default(signature[key]) if key in signature else UNKNOWN
        hint = hints.get(key if key in signature else keywords, UNKNOWN)
        yield _child(parent, key, value, values.expected_type(hint, value, default))
    for name, declared in signature.items():
        is_named = declared.kind in (declared.POSITIONAL_OR_KEYWORD, declared.KEYWORD_ONLY)
        is_passed_later = isinstance(parent.value, fdl.Partial) and declared.default is declared.empty
        if is_named and not is_passed_later and name not in given:
            default = _default(declared)
            expected_type = values.expected_type(hints.get(name, UNKNOWN), default)
            yield dataclasses.replace(_child(parent, name, default, expected_type), kind="unset")


def _members(parent: Parameter) -> Iterator[Parameter]:
    for key, value in members_of(parent.value):
        hint = values.member_annotation(parent.expected_type, parent.value, key)
        yield _child(parent, key, value, values.expected_type(hint, value))


def members_of(value: Any) -> list[tuple[Any, Any]]:
    """Returns the keys and members of a sub-config or a collection; an empty list for any other value."""
    if isinstance(value, fdl.Buildable):
        return list(fdl.ordered_arguments(value).items())
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, (list, tuple)) else []


def _child(parent: Parameter, key: Any, value: Any, expected_type: Any) -> Parameter:
    kind: Kind = "leaf" if parent.kind == "node" else "element"
    if _holds_configs(value):
        kind = "node"
    text = f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"
    slot = (id(parent.value), key) if isinstance(parent.value, fdl.Buildable) else (*parent.slot, key)
    return Parameter(
        (*parent.keys, str(key)), f"{parent.path}{text}".removeprefix("."), kind, value, expected_type, slot, parent
    )


def _holds_configs(value: Any) -> bool:
    """Whether the value is a sub-config, or a collection with one at any depth."""
    return isinstance(value, fdl.Buildable) or any(_holds_configs(member) for _, member in members_of(value))


def _default(declared: inspect.Parameter) -> Any:
    # A dataclass marks a default_factory with a private class: there is a default, but it cannot be shown.
    is_factory = type(declared.default).__name__ == "_HAS_DEFAULT_FACTORY_CLASS"
    return UNKNOWN if is_factory else declared.default


def _unquoted(text: str) -> str:
    value = values.literal(text)
    return value if isinstance(value, str) else text
