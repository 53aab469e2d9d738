"""The registries of experiments, fiddlers and parts: decorators register functions, which are then found by name.

A function is registered when its module is imported, which is up to the caller.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from typing import Any, Generic, TypeVar

import fiddle as fdl

from jersey.core.errors import UserError, shorten

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

MAX_LISTED = 12  # names of a registry that an error lists; of a longer registry, it states only the number


class Registry(Generic[FunctionT]):
    """Maps names to functions of one kind.

    Args:
        kind: what the functions are called in errors, such as "fiddler".
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._functions: dict[str, FunctionT] = {}

    def add(self, function: FunctionT, name: str | None = None) -> FunctionT:
        """Registers and returns `function`, as a decorator; raises a ValueError if its name is registered already."""
        name = name or function.__name__
        if name in self._functions:
            owner = self._functions[name].__module__
            raise ValueError(f"{self._kind} {name!r} of {function.__module__} is already registered by {owner}")
        self._functions[name] = function
        return function

    def get(self, name: str) -> FunctionT:
        """Returns the function called `name`; raises a UserError that suggests similar names if there is none."""
        require_known(self._kind, name, self._functions)
        return self._functions[name]

    def names(self) -> list[str]:
        """Returns all names, sorted."""
        return sorted(self._functions)


def require_known(kind: str, name: str, known: Collection[str]) -> None:
    """Raises a UserError that suggests similar names if `name` is not one of the `known` names of that kind."""
    if name in known:
        return
    similar = difflib.get_close_matches(name, known, n=3)
    hint = did_you_mean(similar) or ";"
    if not known:
        hint = f"; no {kind} is registered"
    elif len(known) <= MAX_LISTED:
        hint += f" known: {', '.join(sorted(known))}"
    elif not similar:
        hint += f" there are {len(known)}, --list shows them; those of a package of your own need --import"
    raise UserError(f"unknown {kind} {shorten(name)!r}{hint}")


def did_you_mean(similar: list[str]) -> str:
    """Returns the end of an error sentence that suggests these names; empty if there are none."""
    return f"; did you mean {' or '.join(similar)}?" if similar else ""


_experiments: Registry[Callable[[], fdl.Buildable]] = Registry("experiment")
_fiddlers: Registry[Callable[..., None]] = Registry("fiddler")
_parts: dict[str, Registry[Callable[..., Any]]] = {}  # by the last name of their paths

experiment = _experiments.add
"""Decorates a function without arguments that returns a config; its name becomes the experiment's name."""
get_experiment = _experiments.get
experiment_names = _experiments.names

fiddler = _fiddlers.add
"""Decorates a function that changes a config in place; it takes the config, then optional keyword arguments."""
get_fiddler = _fiddlers.get
fiddler_names = _fiddlers.names


def part(place: str, name: str | None = None) -> Callable[[FunctionT], FunctionT]:
    """Returns a decorator for a class or function that an override may put at a place of a config by name.

    Args:
        place: last name of the paths where it may stand, such as "head" for `module.network.head`.
        name: name of the part; that of the class or function if None.

    Raises:
        ValueError: (the decorator) the place has a part of that name already.
    """
    registry = _parts.setdefault(place, Registry(f"part for {place}"))

    def register(function: FunctionT) -> FunctionT:
        registry.add(function, name)
        return function

    return register


def parts_for(place: str) -> Registry[Callable[..., Any]] | None:
    """Returns the parts for the places with this name; None if there are none."""
    return _parts.get(place)
