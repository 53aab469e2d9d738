"""The names behind `--exp` and `--fiddler`: functions put here by a decorator, found again by name.

Registration happens when the module of a function is imported, which is the caller's business.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import fiddle as fdl

from jersey.core.errors import UserError, shorten

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

SHORT_LIST = 12


class Registry(Generic[FunctionT]):
    """Functions of one kind by their own names."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._functions: dict[str, FunctionT] = {}

    def add(self, function: FunctionT) -> FunctionT:
        """Registers `function` under its `__name__`; a decorator. ValueError when the name is taken."""
        name = function.__name__
        if name in self._functions:
            taken_by = self._functions[name].__module__
            raise ValueError(f"{self._kind} {name!r} of {function.__module__} is already registered by {taken_by}")
        self._functions[name] = function
        return function

    def get(self, name: str) -> FunctionT:
        """The function called `name`; a UserError with the near matches when there is none."""
        if name in self._functions:
            return self._functions[name]
        near = difflib.get_close_matches(name, self._functions, n=3)
        hint = did_you_mean(near) or ";"
        if not self._functions:
            hint = f"; no {self._kind} is registered"
        elif len(self._functions) <= SHORT_LIST:
            hint += f" known: {', '.join(self.names())}"
        elif not near:
            hint += f" there are {len(self._functions)}, --list shows them"
        raise UserError(f"unknown {self._kind} {shorten(name)!r}{hint}")

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._functions)


def did_you_mean(near: list[str]) -> str:
    """The end of an error that suggests other names; empty without any."""
    return f"; did you mean {' or '.join(near)}?" if near else ""


_experiments: Registry[Callable[[], fdl.Buildable]] = Registry("experiment")
_fiddlers: Registry[Callable[..., None]] = Registry("fiddler")

experiment = _experiments.add
"""Decorator for a function without arguments that returns a config graph: the function's name is the experiment's."""
get_experiment = _experiments.get
experiment_names = _experiments.names

fiddler = _fiddlers.add
"""Decorator for a function that changes a config in place: the config first, then optional keyword arguments."""
get_fiddler = _fiddlers.get
fiddler_names = _fiddlers.names
