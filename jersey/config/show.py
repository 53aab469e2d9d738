"""Prints and compares configs, for reviewers, golden files and run folders.

A flat print has one line per parameter, in the spelling of an override, so that any line can be copied into one. A diff
has one table for each part of the config, with a row for each parameter that differs. Values are compared as printed,
so 1 and True differ. A parameter that is set to its default equals one that is left to it.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Literal

import fiddle as fdl

from jersey.config.paths import Parameter, parameters
from jersey.config.values import UNKNOWN
from jersey.core.tables import format_table, markdown_table

ROOT, SHARED = "(root)", "(shared)"
ABSENT, UNSET = "-", "unset"

_MAX_COLUMN = 60  # characters; a longer value is printed on a line of its own

Changes = list[tuple[str, str, str]]
"""Rows of a diff: a path, or several that share an object, and the text of the value in the old and the new config."""


def flatten(config: fdl.Buildable) -> dict[str, Any]:
    """Returns every set value by its full path, in signature order.

    A sub-config is represented by a text such as `<Partial:torch.optim.AdamW>`; if it is used twice, it appears under
    both paths. A list, tuple or dictionary of plain values is one value.
    """
    return {
        each.path or ROOT: value_text(each.value) if isinstance(each.value, fdl.Buildable) else each.value
        for each in _printed(config)
    }


def as_text(config: fdl.Buildable) -> str:
    """Returns one line `path = value` per parameter, for --print_config, config.txt and the golden files."""
    return "".join(f"{each.path or ROOT} = {value_text(each.value)}\n" for each in _printed(config))


def value_text(value: Any) -> str:
    """Returns the spelling of a value in an override; sub-configs, classes and functions as their name in `<>`."""
    if isinstance(value, fdl.Buildable):
        return f"<{type(value).__name__}:{'.'.join(public_name(fdl.get_callable(value)))}>"
    return f"<{'.'.join(public_name(value))}>" if hasattr(value, "__qualname__") else repr(value)


def public_name(function: Any) -> tuple[str, str]:
    """Returns the shortest module to import `function` from, and its name, such as ("torch.optim", "AdamW")."""
    name, modules = function.__qualname__, function.__module__.split(".")
    for length in range(1, len(modules)):
        package = ".".join(modules[:length])
        if getattr(sys.modules.get(package), "__dict__", {}).get(name) is function:
            return package, name
    return function.__module__, name


def _printed(config: fdl.Buildable) -> list[Parameter]:
    return [each for each in parameters(config) if each.kind == "leaf" or isinstance(each.value, fdl.Buildable)]


def diff(
    old: fdl.Buildable,
    new: fdl.Buildable,
    *,
    names: tuple[str, str] = ("old", "new"),
    style: Literal["text", "markdown"] = "text",
) -> str:
    """Returns tables of the differences, one for each part of the config; empty if the configs are equal.

    "-" means that a config has no such parameter, "unset" that its default cannot be shown. A parameter that both
    configs leave to a default is listed if the defaults differ, as those of two optimizers do. The part "(shared)"
    lists paths that lead to one object in one config and to separate objects in the other.

    Args:
        old: config of the first column.
        new: config of the second column.
        names: headings of the two columns.
        style: "text" for aligned columns, "markdown" for tables on GitHub.
    """
    before, after = parameters(old), parameters(new)
    parts = {each.keys[0] for each in (*before, *after) if each.kind == "node" and len(each.keys) == 1}
    part_of = {each.path: each.keys[0] for each in (*before, *after) if each.keys and each.keys[0] in parts}
    tables: dict[str, Changes] = {}
    for change in _changed_values(before, after):
        tables.setdefault(part_of.get(change[0], ROOT), []).append(change)
    if sharing := _changed_sharing(before, after):
        tables[SHARED] = sharing
    return "\n".join(_markdown_lines(tables, names) if style == "markdown" else _text_lines(tables, names))


def _changed_values(before: list[Parameter], after: list[Parameter]) -> Changes:
    old_texts, new_texts = _texts(before), _texts(after)
    paths_set = {each.path or ROOT for each in (*before, *after) if each.kind != "unset"}
    changes = []
    for path in dict.fromkeys((*old_texts, *new_texts)):
        old, new = old_texts.get(path, ABSENT), new_texts.get(path, ABSENT)
        is_only_a_default_of_one = path not in paths_set and ABSENT in (old, new)
        if old != new and not is_only_a_default_of_one:
            changes.append((path, old, new))
    return changes


def _texts(everything: list[Parameter]) -> dict[str, str]:
    return {each.path or ROOT: _text(each) for each in everything if each.kind != "element"}


def _text(parameter: Parameter) -> str:
    if parameter.value is UNKNOWN:
        return UNSET
    if parameter.kind == "node" and not isinstance(parameter.value, fdl.Buildable):
        return f"<{type(parameter.value).__name__}>"  # its members have rows of their own
    return value_text(parameter.value)


def _changed_sharing(before: list[Parameter], after: list[Parameter]) -> Changes:
    groups = dict.fromkeys((*_shared(before), *_shared(after)))
    changes = [(", ".join(paths), _sharing(before, paths), _sharing(after, paths)) for paths in groups]
    return [change for change in changes if change[1] != change[2]]


def _shared(everything: list[Parameter]) -> list[tuple[str, ...]]:
    """Returns the paths of each sub-config that is used in several places, without those of its members."""
    places: dict[int, dict[tuple[Any, ...], str]] = {}
    for each in everything:
        if isinstance(each.value, fdl.Buildable):
            places.setdefault(id(each.value), {}).setdefault(each.slot, each.path)
    return [tuple(paths.values()) for paths in places.values() if len(paths) > 1]


def _sharing(everything: list[Parameter], paths: tuple[str, ...]) -> str:
    ids = {each.path: id(each.value) for each in everything if isinstance(each.value, fdl.Buildable)}
    found = {ids.get(path) for path in paths}
    if found == {None}:
        return ABSENT
    return "one object" if len(found) == 1 else "separate"


def _text_lines(tables: dict[str, Changes], names: tuple[str, str]) -> list[str]:
    short = {part: [row for row in rows if max(map(len, row)) <= _MAX_COLUMN] for part, rows in tables.items()}
    # All tables are formatted together, so that their columns are aligned with each other.
    in_columns = iter(format_table([row for part, rows in short.items() for row in ((part, *names), *rows)]))
    lines = []
    for part, rows in tables.items():
        lines.append(next(in_columns))
        for row in rows:
            if row in short[part]:
                lines.append(next(in_columns))
            else:
                lines += [row[0], f"  {names[0]}: {row[1]}", f"  {names[1]}: {row[2]}"]
        lines.append("")
    return lines


def _markdown_lines(tables: dict[str, Changes], names: tuple[str, str]) -> list[str]:
    coded = {
        part: [(part, *map(_code, names)), *(tuple(map(_code, row)) for row in rows)] for part, rows in tables.items()
    }
    return [line for rows in coded.values() for line in (*markdown_table(rows), "")]


def _code(text: str) -> str:
    """Returns `text` as inline code, inside a fence longer than any run of backquotes in it."""
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{fence}{text}{fence}"
