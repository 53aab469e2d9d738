"""A config as text, as JSON, and the difference of two: what a reviewer, the run folder and `--diff` see.

`as_text` has one line a parameter and uses the spelling that an override takes, so that any line can be copied into
`--fdl_set`. The JSON is Fiddle's own. A JSON from elsewhere may name what this project and its main libraries provide
and nothing else; that keeps out `os.system`, it does not make a stranger's config safe to build.
"""

from __future__ import annotations

import sys
from typing import Any

import fiddle as fdl
from fiddle.experimental import serialization

from jersey.config.paths import Parameter, parameters
from jersey.config.typehints import UNKNOWN
from jersey.errors import UserError

ROOT = "(root)"

_COLUMN = 60

_PACKAGES = ("jersey", "experiments", "torch", "torchvision", "lightning")
_FORMAT = {  # what Fiddle's format itself is made of
    ("builtins", "dict"),
    ("builtins", "list"),
    ("builtins", "tuple"),
    ("fiddle._src.config", "BuildableTraverserMetadata"),
    ("fiddle._src.config", "Config"),
    ("fiddle._src.partial", "Partial"),
    ("fiddle._src.partial", "ArgFactory"),
}


def flatten(config: fdl.Buildable) -> dict[str, Any]:
    """Every set value by its full path, in signature order; a sub-config is `<Partial:torch.optim.AdamW>` at its path.

    A list, tuple or dictionary of plain values is one value. A sub-config used twice appears under both paths.
    """
    return {
        each.path or ROOT: _text(each.value) if isinstance(each.value, fdl.Buildable) else each.value
        for each in _shown(config)
    }


def as_text(config: fdl.Buildable) -> str:
    """`path = value`, a line each, for --print_config, config.txt and golden files; values as overrides take them."""
    return "".join(f"{path} = {text}\n" for path, text in _texts(config).items())


def to_json(config: fdl.Buildable) -> str:
    """The whole graph, shared sub-configs included, for `from_json`."""
    return serialization.dump_json(config, indent=1) + "\n"


def from_json(text: str) -> fdl.Buildable:
    """The graph that `to_json` wrote; a UserError for other text and for names from outside `_PACKAGES`."""
    try:
        config = serialization.load_json(text, pyref_policy=_OnlyOurs())
    except serialization.PyrefPolicyError as error:
        packages = ", ".join(_PACKAGES)
        raise UserError(
            f"the config names {error.module}.{error.symbol}; it may only name what is in {packages}"
        ) from error
    except (ImportError, AttributeError) as error:
        raise UserError(f"the config does not fit this version of the code: {_one_line(error)}") from error
    except (
        ValueError,
        LookupError,
        TypeError,
        RecursionError,
        AssertionError,
        serialization.DeserializationError,
    ) as error:
        raise UserError(f"not a saved config: {type(error).__name__}: {_one_line(error)}") from error
    if not isinstance(config, fdl.Buildable):
        raise UserError(f"not a saved config: it holds a {type(config).__name__}")
    return config


def difference(old_config: fdl.Buildable, new_config: fdl.Buildable) -> str:
    """A table with a line for each path whose value differs: path, old, new. Empty when nothing does.

    A parameter set to its default equals one left to its default; "-" stands where a config has no such parameter.
    """
    old, new = _texts(old_config), _texts(new_config)
    old_defaults, new_defaults = _default_texts(old_config), _default_texts(new_config)
    rows = [("path", "old", "new")]
    for path in dict.fromkeys((*old, *new)):
        before = old.get(path) or old_defaults.get(path, "-")
        after = new.get(path) or new_defaults.get(path, "-")
        if before != after:
            rows.append((path, before, after))
    return _table(rows) if len(rows) > 1 else ""


class _OnlyOurs(serialization.PyrefPolicy):
    """Allows names of this project and its libraries, and the few that Fiddle's format consists of."""

    def allows_import(self, module: str, symbol: str) -> bool:
        """Asked before anything is imported."""
        return (module, symbol) in _FORMAT or module.partition(".")[0] in _PACKAGES

    def allows_value(self, value: Any) -> bool:
        """Asked after: `torch` holds `os`, so `os.system` would pass as a name in `torch`."""
        home = getattr(value, "__module__", None) or ""
        is_format = (home, getattr(value, "__qualname__", None)) in _FORMAT
        return callable(value) and (is_format or home.partition(".")[0] in _PACKAGES)


def _shown(config: fdl.Buildable) -> list[Parameter]:
    return [each for each in parameters(config) if each.kind == "leaf" or isinstance(each.value, fdl.Buildable)]


def _texts(config: fdl.Buildable) -> dict[str, str]:
    return {each.path or ROOT: _text(each.value) for each in _shown(config)}


def _default_texts(config: fdl.Buildable) -> dict[str, str]:
    unset = [each for each in parameters(config) if each.kind == "unset" and each.value is not UNKNOWN]
    return {each.path: _text(each.value) for each in unset}


def _text(value: Any) -> str:
    if isinstance(value, fdl.Buildable):
        return f"<{type(value).__name__}:{_dotted_name(fdl.get_callable(value))}>"
    return f"<{_dotted_name(value)}>" if callable(value) else repr(value)


def _dotted_name(function: Any) -> str:
    """The shortest name it can be imported by: `torch.optim.AdamW`, though it is written in `torch.optim.adamw`."""
    name, modules = function.__qualname__, function.__module__.split(".")
    for length in range(1, len(modules)):
        package = ".".join(modules[:length])
        if getattr(sys.modules.get(package), "__dict__", {}).get(name) is function:
            return f"{package}.{name}"
    return f"{function.__module__}.{name}"


def _table(rows: list[tuple[str, str, str]]) -> str:
    """Columns in line, except beside values too long for it."""
    widths = [max((len(row[column]) for row in rows if len(row[column]) <= _COLUMN), default=0) for column in (0, 1)]
    lines = [f"{path:<{widths[0]}}  {old:<{widths[1]}}  {new}".rstrip() for path, old, new in rows]
    return "\n".join(lines) + "\n"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
