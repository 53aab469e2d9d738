"""`--fdl_set=path=value` and `--fiddler=name(arg=1)`: changes to a config, checked before anything is built.

Fiddle's own flags want full paths, parse `00` as 0 and check no types. Here a path may be shortened to any ending that
only one parameter has, and a value must fit the parameter's annotation. Whatever text comes in, the outcome is a
changed config or a UserError of one line.

A sub-config that is used in two places is one object: changing it under one path changes it under both.
"""

from __future__ import annotations

import ast
import difflib
import types
from contextlib import suppress
from typing import Any

import fiddle as fdl

from jersey.config import paths, registry, values
from jersey.config.paths import Parameter
from jersey.config.values import UNKNOWN
from jersey.core.errors import UserError, shorten

# What is suggested for a path that does not exist: so many, so close to it at least, so much worse than the best.
_SHOWN, _NEAR, _WORSE = 3, 0.6, 0.1


def apply_override(config: fdl.Buildable, override: str) -> None:
    """Sets one parameter of `config` in place, from `path=value`.

    A full path from the root wins; else any ending on whole names that only one parameter has, looked for first among
    the values that the config sets, then among the defaults that it leaves. A parameter of a `**keywords` callable
    can be changed where the config sets it, not added: a misspelt one could not be told from a new one.
    """
    written = override
    with suppress(values.Mismatch):  # of a bracket that is not closed
        written = next(values.pieces(override, "="))  # a dictionary key may hold one, in its brackets
    if not written or written == override:
        raise UserError(f"{_shown(override)} is not an override; write path=value, such as lr=1e-4")
    text = override[len(written) + 1 :]
    parameter = resolve(config, written.strip())
    if parameter.kind == "node":
        _require_none(text, parameter, config)
        parameter.put(None)
    else:
        parameter.put(_read(text, parameter, parameter.path))


def apply_fiddler(config: fdl.Buildable, call: str) -> None:
    """Applies a registered fiddler to `config` in place, from `name` or `name(argument=value)`."""
    name, keywords = _split_call(call)
    fiddler = registry.get_fiddler(name)
    arguments = fdl.Config(fiddler)  # itself a config, whose parameters are read as any others
    known = {each.path: each for each in paths.parameters(arguments)[2:]}  # without itself and the config to change
    for keyword, text in keywords.items():
        if keyword not in known:
            near = (
                registry.did_you_mean(difflib.get_close_matches(keyword, known))
                or f"; it has {', '.join(known) or 'none'}"
            )
            raise UserError(f"fiddler {name} has no argument {_shown(keyword)}{near}")
        known[keyword].put(_read(text, known[keyword], f"{name}({keyword})"))
    given = fdl.ordered_arguments(arguments)
    missing = [keyword for keyword, each in known.items() if each.value is UNKNOWN and keyword not in given]
    if missing:
        raise UserError(f"fiddler {name} needs {', '.join(missing)}; write {name}({missing[0]}=...)")
    fiddler(config, **given)


def resolve(config: fdl.Buildable, path: str) -> Parameter:
    """The one parameter that `path` names in full or by its ending; a UserError when there is none or several."""
    keys = paths.split(path)
    everything = paths.parameters(config)[1:]
    full = [each for each in everything if each.keys == keys]
    endings = [each for each in everything if keys and each.keys[-len(keys) :] == keys]
    for kinds in (("leaf", "element"), ("unset",), ("node",)):
        found = full or [each for each in endings if each.kind in kinds]
        if len({each.place for each in found}) > 1:
            raise UserError(f"{_shown(path)} is ambiguous; write one of {', '.join(each.path for each in found)}")
        if found:
            return found[0]
    near = registry.did_you_mean(_near(path, everything)) or "; --print_config lists them"
    raise UserError(f"{_shown(path)}: no such parameter{near}")


def _require_none(text: str, node: Parameter, config: fdl.Buildable) -> None:
    """A flag can put None in the place of a sub-config that may be left out, and nothing else."""
    may_be_left_out = types.NoneType in values.alternatives(node.wanted)
    if text.strip() == "None" and may_be_left_out:
        return
    under = [each for each in paths.parameters(config) if each.keys[: len(node.keys)] == node.keys]
    members = [each.path for each in under if each.kind == "leaf"]
    ways = [f"set one of {', '.join(members)}"] * bool(members) + ["leave it out with None"] * may_be_left_out
    raise UserError(f"{node.path} is a sub-config, not a value; {', or '.join(ways) or 'it sets nothing'}")


def _read(text: str, parameter: Parameter, name: str) -> Any:
    try:
        return values.parse(text, parameter.wanted)
    except values.Mismatch:
        state = "default" if parameter.kind == "unset" else "now"
        before = "not set" if parameter.value is UNKNOWN else f"{state} {_shown(repr(parameter.value))}"
        given = repr(shorten(text)) if text.strip() else "nothing ('' is an empty text)"
        raise UserError(f"{name} wants {values.describe(parameter.wanted)}, not {given} ({before})") from None


def _split_call(call: str) -> tuple[str, dict[str, str]]:
    """The name and the keyword arguments' texts of `name` or `name(argument=value, ...)`."""
    call = call.strip()
    if "(" not in call:
        return call, {}
    parsed = None
    with suppress(SyntaxError, ValueError, MemoryError, RecursionError):
        parsed = ast.parse(call, mode="eval").body
    if not isinstance(parsed, ast.Call) or not isinstance(parsed.func, ast.Name) or parsed.args:
        raise UserError(f"{_shown(call)} is not a fiddler; write name or name(argument=value), with text in quotes")
    return parsed.func.id, {str(each.arg): ast.get_source_segment(call, each.value) or "" for each in parsed.keywords}


def _near(path: str, everything: list[Parameter]) -> list[str]:
    """The full paths that `path` may have meant, best first; what the config sets comes before what it leaves."""
    candidates = [each for each in everything if each.kind != "node" and not each.keys[-1].isdigit()]
    closeness = {each.path: _closeness(path, each) for each in candidates}
    ranked = sorted(candidates, key=lambda each: (-closeness[each.path], each.kind == "unset"))
    enough = max([_NEAR, *(each - _WORSE for each in closeness.values())])
    return [each.path for each in ranked[:_SHOWN] if closeness[each.path] >= enough]


def _closeness(wanted: str, parameter: Parameter) -> float:
    """How alike a written path and a parameter's are, 0 to 1; an abbreviation counts, `learning_rate` for `lr`."""
    keys = paths.split(wanted) or (wanted,)
    if _initials(keys[-1]) == parameter.keys[-1] or keys[-1] == _initials(parameter.keys[-1]):
        return 0.9
    ending = ".".join(parameter.keys[-len(keys) :])
    return max(difflib.SequenceMatcher(None, wanted, each).ratio() for each in (parameter.path, ending))


def _initials(name: str) -> str:
    words = [word for word in name.split("_") if word]
    return "".join(word[0] for word in words) if len(words) > 1 else ""


def _shown(text: str) -> str:
    """`text` for an error of one line."""
    text = shorten(text)
    return text if text.isprintable() and text else repr(text)
