"""A config as lines of text: what a reviewer, a golden file, the run folder and Aim see.

One line a parameter, in the spelling that an override takes, so that any line can be copied into `--fdl_set`.
"""

from __future__ import annotations

import sys
from typing import Any

import fiddle as fdl

from jersey.config.paths import Parameter, parameters

ROOT = "(root)"


def flatten(config: fdl.Buildable) -> dict[str, Any]:
    """Every set value by its full path, in signature order; a sub-config is `<Partial:torch.optim.AdamW>` at its path.

    A list, tuple or dictionary of plain values is one value. A sub-config used twice appears under both paths.
    """
    return {
        each.path or ROOT: value_text(each.value) if isinstance(each.value, fdl.Buildable) else each.value
        for each in _shown(config)
    }


def as_text(config: fdl.Buildable) -> str:
    """`path = value`, a line each, for --print_config, config.txt and golden files; values as overrides take them."""
    return "".join(f"{each.path or ROOT} = {value_text(each.value)}\n" for each in _shown(config))


def value_text(value: Any) -> str:
    """A value as overrides take it, a sub-config by what it calls."""
    if isinstance(value, fdl.Buildable):
        return f"<{type(value).__name__}:{'.'.join(public_name(fdl.get_callable(value)))}>"
    return f"<{'.'.join(public_name(value))}>" if hasattr(value, "__qualname__") else repr(value)


def public_name(function: Any) -> tuple[str, str]:
    """The shortest module to import it from, and its name there: ("torch.optim", "AdamW"), not "torch.optim.adamw"."""
    name, modules = function.__qualname__, function.__module__.split(".")
    for length in range(1, len(modules)):
        package = ".".join(modules[:length])
        if getattr(sys.modules.get(package), "__dict__", {}).get(name) is function:
            return package, name
    return function.__module__, name


def _shown(config: fdl.Buildable) -> list[Parameter]:
    return [each for each in parameters(config) if each.kind == "leaf" or isinstance(each.value, fdl.Buildable)]
