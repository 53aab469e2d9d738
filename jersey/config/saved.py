"""Writes and reads `config.json`, the config in a run folder.

It is Fiddle's own format plus the name of the experiment, so that the file alone is enough to repeat the run.

A file may come from anywhere, so reading it must not execute what it names. Fiddle's `load_json` asks a policy about
each name, but then calls some of the accepted ones as metadata of named tuples and sub-configs: a file could start
`torch.hub.load` while it is read. The reader here returns only sub-configs, collections and plain values. A name can
only be the callable of a sub-config, and it is never called.

Two things are not guaranteed. Naming a module of the trusted packages imports it. And a config from a file is not safe
to build or run, because trusted packages such as torch have functions that execute or write files.
"""

from __future__ import annotations

import importlib
import json
import math
import reprlib
import types
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import fiddle as fdl
from fiddle import signatures
from fiddle.experimental import serialization

from jersey.config import values
from jersey.config.paths import Parameter, parameters
from jersey.core.errors import UserError, shorten

CONFIG = "config.json"
_PLAIN = bool | int | float | str | None

# The types that Fiddle's format names.
_COLLECTIONS = {("builtins", "list"): list, ("builtins", "tuple"): tuple, ("builtins", "dict"): dict}
_BUILDABLES = {
    ("fiddle._src.config", "Config"): fdl.Config,
    ("fiddle._src.partial", "Partial"): fdl.Partial,
    ("fiddle._src.partial", "ArgFactory"): fdl.ArgFactory,
}


class OtherVersion(UserError):
    """The error of a file that is a config, but was written by another version of the code."""


def to_json(config: fdl.Buildable, experiment: str) -> str:
    """Returns the graph, with its shared sub-configs, and the name of the experiment as JSON."""
    document = {"experiment": experiment, **json.loads(serialization.dump_json(config))}
    return json.dumps(document, indent=1) + "\n"


def from_json(text: str, packages: Collection[str]) -> fdl.Buildable:
    """Returns the graph that `to_json` wrote.

    Args:
        text: JSON document.
        packages: trusted packages, whose objects the document may name.

    Raises:
        UserError: if the text is no such document, or names other objects.
    """
    return _config(_document(text), packages)


def load(path: Path, packages: Collection[str]) -> tuple[str, fdl.Buildable]:
    """Returns the experiment's name and the config of a run.

    Args:
        path: run folder or its config.json.
        packages: trusted packages, whose objects the file may name.

    Raises:
        OtherVersion: if another version of the code wrote the config.
        UserError: if the file does not exist or is not the config of a run.
    """
    file, text = read(path)
    try:
        document = _document(text)
        experiment = document.get("experiment")
        if not isinstance(experiment, str) or not experiment.isidentifier():
            raise UserError(f"not the config of a run: its experiment name is {shorten(repr(experiment))}")
        config = _config(document, packages)
        _require_types(config)
        return experiment, config
    except UserError as error:
        raise type(error)(f"{file}: {error}") from error


def read(path: Path) -> tuple[Path, str]:
    """Returns the config.json of a run folder, or the file itself, and its text; raises a UserError without one."""
    try:
        if path.is_dir() and not (path / CONFIG).exists():
            raise UserError(f"the folder {path} contains no {CONFIG}; name the folder of one run, or a {CONFIG}")
        file = path / CONFIG if path.is_dir() else path
        return file, file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}); name the folder of one run, or a {CONFIG}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a saved config: it is not text") from error


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"not a saved config: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise UserError(f"not a saved config: it contains a {type(document).__name__}")
    return document


def _config(document: dict[str, Any], packages: Collection[str]) -> fdl.Buildable:
    try:
        match document:
            case {"root": root, "objects": dict(objects)}:
                config = _Reader(objects, packages).value(root)
                if isinstance(config, fdl.Buildable):
                    return config
        raise ValueError("it contains no config")
    except UserError:
        raise
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"not a saved config, or a damaged one: {' '.join(str(error).split())}") from error


class _Reader:
    """Returns the values of a document's nodes; a node that is referred to twice has one value.

    Args:
        objects: nodes by the key with which others refer to them.
        packages: trusted packages.
    """

    def __init__(self, objects: dict[str, Any], packages: Collection[str]) -> None:
        self._objects = objects
        self._packages = packages
        self._values: dict[str, Any] = {}  # of `objects`, by the same key

    def value(self, node: Any) -> Any:
        """Returns the value of a node of the document."""
        match node:
            case {"type": "ref", "key": str(key)}:
                if key not in self._objects:
                    raise ValueError(f"the object {shorten(repr(key))} is missing")
                if key not in self._values:
                    self._values[key] = self.value(self._objects[key])
                return self._values[key]
            case {"type": {"type": "pyref", "module": str(module), "name": str(name)}, "items": list(items)}:
                return self._collect((module, name), items, node.get("metadata"))
            case {"type": "leaf", "value": value} if isinstance(value, _PLAIN):
                return value
            case {"type": "pyref", "module": str(module), "name": str(name)}:
                given = shorten(f"{module}.{name}")
                raise UserError(f"the config contains {given!r} as a value; only a sub-config may name objects")
        if not isinstance(node, _PLAIN):
            raise ValueError("a value is of an unknown kind")
        return node

    def _collect(self, kind: tuple[str, str], items: list[Any], metadata: Any) -> Any:
        if kind not in _COLLECTIONS and kind not in _BUILDABLES:
            raise UserError(
                f"the config contains a {shorten('.'.join(kind))!r}; only sub-configs, collections "
                "and plain values are allowed"
            )
        values = [self.value(node) for _, node in items]
        if kind in _BUILDABLES:
            return self._sub_config(_BUILDABLES[kind], values, metadata)
        if kind == ("builtins", "dict"):
            return dict(zip(self.value(metadata), values, strict=True))
        return _COLLECTIONS[kind](values)

    def _sub_config(self, kind: type[fdl.Buildable], values: list[Any], metadata: Any) -> fdl.Buildable:
        match self._objects[metadata["key"]]:
            case {"items": [[_, {"type": "pyref", "module": str(module), "name": str(name)}], [_, keys], [_, tags], _]}:
                if self.value(tags):
                    raise ValueError("it has tags")
                arguments = dict(zip(self.value(keys), values, strict=True))
                return _configure(kind, importable(module, name, self._packages), arguments, f"{module}.{name}")
        raise ValueError("a sub-config does not name its callable")


def importable(module: str, name: str, packages: Collection[str]) -> Any:
    """Returns the class or function `name` of `module`; imports nothing outside `packages`.

    Raises:
        OtherVersion: if the module or the name does not exist.
        UserError: if it is not a class or function of a trusted package.
    """
    not_allowed = UserError(
        f"the config names {shorten(f'{module}.{name}')!r}; it may only name what is in {', '.join(packages)}, and in"
        " packages that --import names or that declare an entry point"
    )
    parts = module.split(".")
    is_plain = all(part.isidentifier() and not part.startswith("__") for part in (*parts, name))
    if parts[0] not in packages or not is_plain or name.startswith("_"):
        raise not_allowed
    try:
        value = getattr(importlib.import_module(module), name)
    except Exception as error:  # a module may raise anything while it is imported
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise _other_version(f"it has no module {error.name}, which the config names") from error
        raise _other_version(f"{module}.{name} cannot be imported ({' '.join(str(error).split())})") from error
    home = getattr(value, "__module__", None)
    # torch has the attribute `os`, because it imports that module: a name does not imply where an object is defined.
    if not isinstance(value, type | types.FunctionType) or str(home).partition(".")[0] not in packages:
        raise not_allowed
    return value


def _configure(kind: type[fdl.Buildable], target: Any, arguments: dict[Any, Any], name: str) -> fdl.Buildable:
    """Returns a sub-config of `target`, which errors call `name`; a key of `arguments` is a name or an index."""
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
        raise _other_version(f"{name} does not accept the saved arguments ({' '.join(str(error).split())})") from error
    return config


def _other_version(what: str) -> OtherVersion:
    return OtherVersion(f"the config does not match this version of the code: {what}")


def _require_types(config: fdl.Buildable) -> None:
    """Raises an OtherVersion if a value is of a wrong type: unlike an override, it was not checked when it was set."""
    for each in parameters(config)[1:]:
        if each.kind in ("leaf", "node") and not _has_expected_type(each):
            expected = values.describe(each.expected_type)
            raise _other_version(f"{each.path} expects {expected}, not {shorten(reprlib.repr(each.value))}")


def _has_expected_type(parameter: Parameter) -> bool:
    if parameter.kind == "node":  # what its callable returns is unknown, so only a plain value is a wrong type
        return not all(map(values.is_plain_type, values.alternatives(parameter.expected_type)))
    value = parameter.value
    if isinstance(value, float) and not math.isfinite(value):
        value = 0.0  # `coerce` rejects infinity in an override, but a function may set it
    with suppress(values.TypeMismatch):
        values.coerce(value, parameter.expected_type)
        return True
    return False
