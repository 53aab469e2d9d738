"""Writes a config as Python code, the `config.py` of a run: to read, to import, or to start a new experiment from.

Each line sets one parameter by its path, in the order of the flat print. Fiddle's own code generator of this style
cannot write tuples of sub-configs, positional arguments and infinity. It also moves sub-configs behind plain values,
which changes the order in which callbacks are called.
"""

from __future__ import annotations

import keyword
import math
from collections import Counter
from typing import Any

import fiddle as fdl
from fiddle import daglish, signatures

from jersey.config.paths import members_of
from jersey.config.show import public_name

_HEADER = '''"""The config of a run of {name}, written by jersey.

`{name}()` returns the same config graph as config.json, before anything is built.
"""
'''


def as_python(config: fdl.Buildable, experiment: str) -> str:
    """Returns the source of a module with one function, named `experiment`, that returns a graph equal to `config`."""
    writer = _Writer()
    for number, value in enumerate(_shared(config), start=1):
        writer.define(f"shared_{number}", value)
        writer.lines.append("")
        writer.variables[id(value)] = f"shared_{number}"
    writer.define("root", config)
    imports = [f"import {module}" for module in sorted(writer.modules)]
    parts = [_HEADER.format(name=experiment), "import fiddle as fdl", *imports, "", "", f"def {experiment}():"]
    return "\n".join([*parts, *(f"    {line}" if line else "" for line in writer.lines), "    return root", ""])


class _Writer:
    """Collects the lines of the function.

    Attributes:
        lines: lines without indentation.
        modules: modules that the lines use.
        variables: name of the variable of each shared value that has been written, by the value's id.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.modules: set[str] = set()
        self.variables: dict[int, str] = {}

    def define(self, place: str, value: Any) -> None:
        """Writes the assignment of `value` to the expression `place`, then the arguments of the sub-configs in it."""
        self.lines.append(f"{place} = {self._expression(value)}")
        self._fill(place, value)

    def _fill(self, place: str, value: Any) -> None:
        if id(value) in self.variables:
            return
        if isinstance(value, fdl.Buildable):
            self._fill_sub_config(place, value)
            return
        for key, member in members_of(value):
            self._fill(f"{place}[{key!r}]", member)

    def _fill_sub_config(self, place: str, config: fdl.Buildable) -> None:
        declared = signatures.get_signature(fdl.get_callable(config)).parameters.values()
        positional_only = sum(each.kind is each.POSITIONAL_ONLY for each in declared)
        arguments = fdl.ordered_arguments(config)
        variadic = [key for key in arguments if isinstance(key, int) and key >= positional_only]  # indices of `*args`
        if variadic:
            values = ", ".join(self._expression(arguments[key]) for key in variadic)
            self.lines.append(f"{place}[fdl.VARARGS:] = [{values}]")
        for key, value in arguments.items():
            if key in variadic:
                self._fill(f"{place}[{key}]", value)
            elif isinstance(key, int):
                self.define(f"{place}[{key}]", value)
            elif key.isidentifier() and not keyword.iskeyword(key):
                self.define(f"{place}.{key}", value)
            else:
                self.lines.append(f"setattr({place}, {key!r}, {self._expression(value)})")
                self._fill(f"getattr({place}, {key!r})", value)

    def _expression(self, value: Any) -> str:
        """Returns an expression for `value`, in which each sub-config has no arguments yet."""
        if id(value) in self.variables:
            return self.variables[id(value)]
        if isinstance(value, fdl.Buildable):
            module, name = public_name(fdl.get_callable(value))
            self.modules.add(module)
            return f"fdl.{type(value).__name__}({module}.{name})"
        if isinstance(value, dict):
            return "{" + ", ".join(f"{key!r}: {self._expression(each)}" for key, each in value.items()) + "}"
        if isinstance(value, list):
            return f"[{', '.join(map(self._expression, value))}]"
        if isinstance(value, tuple):
            return f"({', '.join(map(self._expression, value))}{',' if len(value) == 1 else ''})"
        return f"float('{value}')" if isinstance(value, float) and not math.isfinite(value) else repr(value)


def _shared(config: fdl.Buildable) -> list[Any]:
    """Returns the values that occur in more than one place, each after those inside it."""
    uses: Counter[int] = Counter()
    found: list[Any] = []

    def visit(value: Any) -> None:
        uses[id(value)] += 1
        if uses[id(value)] == 1 and not daglish.is_internable(value):
            for _, member in members_of(value):
                visit(member)
            found.append(value)

    visit(config)
    return [value for value in found if uses[id(value)] > 1]
