"""Reads the JSON that Fiddle writes, from anywhere, without running what it names.

Fiddle's `load_json` asks a policy about each name, then calls some of what passes: the type that stands as metadata of
a named tuple, and methods of whatever stands as metadata of a sub-config. So a file could start `torch.hub.load` while
it is read. Here only three kinds of things come out: sub-configs, collections, plain values; a name stands for what a
sub-config calls and for nothing else, and is never called.

Two things are not promised. Naming a module of PACKAGES imports it. And a config that was read is not safe to build or
run: torch has functions that execute files (`torch.hub.load`), jersey has some that write them.
"""

from __future__ import annotations

import importlib
import types
from typing import Any

import fiddle as fdl
from fiddle import signatures

from jersey.core.errors import UserError

PACKAGES = ("jersey", "experiments", "torch", "torchvision", "lightning")

# The names that the format itself consists of.
_COLLECTIONS = {("builtins", "list"): list, ("builtins", "tuple"): tuple, ("builtins", "dict"): dict}
_BUILDABLES = {
    ("fiddle._src.config", "Config"): fdl.Config,
    ("fiddle._src.partial", "Partial"): fdl.Partial,
    ("fiddle._src.partial", "ArgFactory"): fdl.ArgFactory,
}


class Malformed(ValueError):
    """The document is not of Fiddle's format."""


def read(document: Any) -> fdl.Buildable:
    """The config in a parsed JSON document.

    Raises:
        Malformed: it is something else, or damaged.
        UserError: it names what it may not, or what this version of the code does not have.
    """
    match document:
        case {"root": root, "objects": dict(objects)}:
            config = _Reader(objects).value(root)
            if isinstance(config, fdl.Buildable):
                return config
    raise Malformed("it holds no config")


class _Reader:
    """Keeps what has been read by its key in the document, so that what was shared is shared again."""

    def __init__(self, objects: dict[str, Any]) -> None:
        self._objects = objects
        self._done: dict[str, Any] = {}

    def value(self, node: Any) -> Any:
        """The value that a node of the document stands for."""
        match node:
            case {"type": "ref", "key": str(key)}:
                if key not in self._done:
                    self._done[key] = self.value(self._object(key))
                return self._done[key]
            case {"type": {"type": "pyref", "module": str(module), "name": str(name)}, "items": list(items)}:
                return self._collect((module, name), items, node.get("metadata"))
            case {"type": "leaf", "value": value} if _is_plain(value):
                return value
            case {"type": "pyref", "module": str(module), "name": str(name)}:
                raise UserError(
                    f"the config holds {f'{module}.{name}'!r} as a value; only a sub-config may name things"
                )
        if not _is_plain(node):
            raise Malformed("a value is of no known kind")
        return node

    def _object(self, key: str) -> Any:
        if key not in self._objects:
            raise Malformed(f"the object {key!r} is missing")
        return self._objects[key]

    def _collect(self, kind: tuple[str, str], items: list[Any], metadata: Any) -> Any:
        if kind not in _COLLECTIONS and kind not in _BUILDABLES:
            raise UserError(
                f"the config holds a {'.'.join(kind)!r}; it may hold sub-configs, collections and plain values"
            )
        values = [self.value(node) for _, node in items]
        if kind in _BUILDABLES:
            return self._sub_config(_BUILDABLES[kind], values, metadata)
        if kind == ("builtins", "dict"):
            return dict(zip(self.value(metadata), values, strict=True))
        return _COLLECTIONS[kind](values)

    def _sub_config(self, kind: type[fdl.Buildable], values: list[Any], metadata: Any) -> fdl.Buildable:
        match self._object(metadata["key"]):
            case {"items": [[_, {"type": "pyref", "module": str(module), "name": str(name)}], [_, keys], [_, tags], _]}:
                if self.value(tags):
                    raise Malformed("it has tags")
                arguments = dict(zip(self.value(keys), values, strict=True))
                return _configure(kind, importable(module, name), arguments, f"{module}.{name}")
        raise Malformed("a sub-config does not say what it calls")


def importable(module: str, name: str) -> Any:
    """The class or function `name` of `module`; a UserError when it is not of PACKAGES, raised before any import."""
    parts = module.split(".")
    plain = all(part.isidentifier() and not part.startswith("__") for part in (*parts, name))
    if parts[0] not in PACKAGES or not plain or name.startswith("_"):
        raise _refusal(module, name)
    try:
        value = getattr(importlib.import_module(module), name)
    except Exception as error:  # a module may raise anything while it is imported
        raise _misfit(f"{module}.{name} cannot be imported", error) from error
    home = getattr(value, "__module__", None)
    # torch holds `os`, as a module that it imports: what an object is called does not say where it is from.
    if not isinstance(value, type | types.FunctionType) or str(home).partition(".")[0] not in PACKAGES:
        raise _refusal(module, name)
    return value


def _configure(kind: type[fdl.Buildable], target: Any, arguments: dict[Any, Any], name: str) -> fdl.Buildable:
    """A sub-config of `target`; its arguments by name, positional ones by index."""
    try:
        config = kind(target)
        declared = signatures.get_signature(target).parameters.values()
        positional_only = sum(each.kind is each.POSITIONAL_ONLY for each in declared)
        for key, value in arguments.items():
            if isinstance(key, str):
                setattr(config, key, value)
            elif 0 <= key < positional_only:
                config[key] = value
            else:
                config[fdl.VARARGS :] = [*config[fdl.VARARGS :], value]
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise _misfit(f"{name} does not take what is saved", error) from error
    return config


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _refusal(module: str, name: str) -> UserError:
    return UserError(f"the config names {f'{module}.{name}'!r}; it may only name what is in {', '.join(PACKAGES)}")


def _misfit(what: str, error: Exception) -> UserError:
    return UserError(f"the config does not fit this version of the code: {what} ({' '.join(str(error).split())})")
