"""`--fdl_set=path=value` and `--fiddler=name(arg=1)`: changes to a config, checked before anything is built.

Fiddle's own flags require full paths, parse `00` as 0 and do not check types. Here a path may be shortened to any
ending that only one parameter has, and a value must match the parameter's annotation. Where parts are registered, the
name of one may stand for a value. Any text results in a changed config or in a UserError of one line.

A sub-config that is used in two places is one object: changing it under one path changes it under both.
"""

from __future__ import annotations

import ast
import difflib
import re
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import fiddle as fdl
from fiddle import signatures

from jersey.config import paths, registry, values
from jersey.config.paths import Parameter
from jersey.config.values import UNKNOWN
from jersey.core.errors import UserError, shorten

_PART = re.compile(r"\s*[^\W\d]\w*\s*(\(|$)")  # a name, or the beginning of a call
_MAX_SUGGESTIONS = 3  # for an unknown path
_MIN_SIMILARITY = 0.6  # of a suggestion to the unknown path; the default of `difflib.get_close_matches`
_MAX_MARGIN = 0.1  # by which a suggestion may be less similar than the best one
_ABBREVIATION_SIMILARITY = 0.9  # of `lr` and `learning_rate`, which difflib finds dissimilar


def apply_override(config: fdl.Buildable, override: str) -> None:
    """Sets one parameter of `config` in place.

    A full path from the root takes precedence. Otherwise an ending made of whole names is looked up, first among the
    values that the config sets, then among the defaults. A parameter of a `**keywords` callable can be changed if the
    config sets it, but not added, because a misspelled name could not be distinguished from a new one.

    Args:
        config: config that is changed.
        override: `path=value`, such as "optimizer.lr=1e-4".

    Raises:
        UserError: if the path is not that of one parameter, or the value is not of its type.
    """
    path, text = split_override(override)
    parameter = resolve(config, path)
    if parameter.kind == "node":
        parameter.set(_sub_config(text, parameter, config))
    else:
        parameter.set(_value(text, parameter, parameter.path))


def split_override(override: str) -> tuple[str, str]:
    """Returns path and value of `path=value`; raises a UserError if the text is not of this form."""
    path = override
    with suppress(values.TypeMismatch):  # a bracket is not closed
        path = next(values.pieces(override, "="))  # a dictionary key in brackets may contain "="
    if not path or path == override:
        raise UserError(f"{_quote(override)} is not an override; write path=value, such as lr=1e-4")
    return path.strip(), override[len(path) + 1 :]


def apply_fiddler(config: fdl.Buildable, call: str) -> None:
    """Applies a registered fiddler to `config` in place.

    Args:
        config: config that is changed.
        call: `name` or `name(argument=value)`, such as "smoke(batches=4)".

    Raises:
        UserError: if no such fiddler is registered, or its arguments are wrong.
    """
    name, keywords = split_call(call, "fiddler")
    fiddler = registry.get_fiddler(name)
    arguments = fdl.Config(fiddler)  # a config too, so that the arguments are parsed like overrides
    known = {each.path: each for each in paths.parameters(arguments)[2:]}  # without the root and the config argument
    _set_arguments(known, keywords, name, owner=f"fiddler {name}")
    given = fdl.ordered_arguments(arguments)
    missing = [keyword for keyword, each in known.items() if each.value is UNKNOWN and keyword not in given]
    if missing:
        raise UserError(f"fiddler {name} requires {', '.join(missing)}; write {name}({missing[0]}=...)")
    fiddler(config, **given)


def _set_arguments(
    known: Mapping[str, Parameter], keywords: Mapping[str, str], called: str, *, owner: str, end: str = ""
) -> None:
    """Sets parameters to the values of a call.

    Args:
        known: parameters by name.
        keywords: texts of the values by name.
        called: what is called, for errors about a value.
        owner: what has the parameters, for errors about a name.
        end: what follows the name there.

    Raises:
        UserError: if there is no such parameter, or a value is not of its type.
    """
    for keyword, text in keywords.items():
        if keyword not in known:
            hint = registry.did_you_mean(difflib.get_close_matches(keyword, known))
            hint = hint or f"; it has {', '.join(known) or 'none'}"
            raise UserError(f"{owner} has no argument {_quote(keyword)}{end}{hint}")
        known[keyword].set(_value(text, known[keyword], f"{called}({keyword})"))


def resolve(config: fdl.Buildable, path: str) -> Parameter:
    """Returns the parameter that `path` names in full or by its ending; raises a UserError unless it is unique."""
    keys = paths.split(path)
    everything = paths.parameters(config)[1:]
    full = [each for each in everything if each.keys == keys]
    endings = [each for each in everything if keys and each.keys[-len(keys) :] == keys]
    for kinds in (("leaf", "element"), ("unset",), ("node",)):
        found = full or [each for each in endings if each.kind in kinds]
        if len({each.slot for each in found}) > 1:
            raise UserError(f"{_quote(path)} is ambiguous; write one of {', '.join(each.path for each in found)}")
        if found:
            return found[0]
    hint = registry.did_you_mean(_suggestions(path, everything)) or "; --print_config lists them"
    raise UserError(f"{_quote(path)}: no such parameter{hint}")


def _sub_config(text: str, node: Parameter, config: fdl.Buildable) -> fdl.Buildable | None:
    """Returns the part that `text` names, or None if the sub-config `node` is optional; nothing else can replace it."""
    is_optional = types.NoneType in values.alternatives(node.expected_type)
    if text.strip() == "None" and is_optional:
        return None
    if (parts := _parts_for(node)) and text.strip() != "None" and _PART.match(text):
        return _part(text, node, parts)
    inside = [each for each in paths.parameters(config) if each.keys[: len(node.keys)] == node.keys]
    members = [each.path for each in inside if each.kind == "leaf"]
    remedies = [f"set one of {', '.join(members)}"] if members else []
    if parts:
        remedies.append(f"replace it by one of {', '.join(parts.names())}")
    if is_optional:
        remedies.append("remove it with None")
    raise UserError(f"{node.path} is a sub-config, not a value; {', or '.join(remedies) or 'it has no values to set'}")


def _value(text: str, parameter: Parameter, name: str) -> Any:
    """Returns the part that `text` names, if parts may stand at the parameter, or the value that it is."""
    parts = _parts_for(parameter)
    return _part(text, parameter, parts) if parts and text.strip() != "None" else _parse(text, parameter, name)


def _parts_for(parameter: Parameter) -> registry.Registry[Any] | None:
    """Returns the parts that may stand at the parameter, whose type must allow more than plain values."""
    is_plain = all(map(values.is_plain_type, values.alternatives(parameter.expected_type)))
    return None if is_plain else registry.parts_for(parameter.keys[-1])


def _part(call: str, place: Parameter, parts: registry.Registry[Any]) -> fdl.Buildable:
    """Returns a sub-config of the part that `call` names, such as "sgd(momentum=0.9)", for its place in a config.

    It keeps the arguments of the sub-config it replaces that it also has, such as the learning rate of an optimizer.
    """
    name, keywords = split_call(call, f"part for {place.keys[-1]}")
    config = (fdl.Partial if _is_called_at_run_time(place) else fdl.Config)(parts.get(name))
    declared = signatures.get_signature(fdl.get_callable(config)).parameters
    replaced = fdl.ordered_arguments(place.value) if isinstance(place.value, fdl.Buildable) else {}
    for argument, value in replaced.items():
        if argument in declared:
            setattr(config, argument, value)
    known = {each.path: each for each in paths.parameters(config)[1:]}
    called = f"{place.path}: {name}"
    _set_arguments(known, keywords, called, owner=called, end=" to set")
    given = fdl.ordered_arguments(config)
    missing = [key for key, each in declared.items() if each.default is each.empty and key not in given]
    if missing and isinstance(config, fdl.Config):
        raise UserError(f"{place.path}: {name} requires {', '.join(missing)}; write {name}({missing[0]}=...)")
    return config


def _is_called_at_run_time(place: Parameter) -> bool:
    """Whether a place takes a function, which gets more arguments when it is called, rather than an object."""
    alternatives = map(values.origin_of, values.alternatives(place.expected_type))
    return isinstance(place.value, fdl.Partial) or Callable in alternatives


def _parse(text: str, parameter: Parameter, name: str) -> Any:
    """Returns `text` as a value of the parameter's type; `name` is how an error refers to the parameter."""
    try:
        return values.parse(text, parameter.expected_type)
    except values.TypeMismatch:
        source = "default" if parameter.kind == "unset" else "now"
        current = "not set" if parameter.value is UNKNOWN else f"{source} {_quote(repr(parameter.value))}"
        given = repr(shorten(text)) if text.strip() else "nothing (write '' for an empty string)"
        is_text = text.strip() not in ("", "None") and values.allows_text(parameter.expected_type)
        remedy = f"; put such a text in quotes: {text.strip()!r}" if is_text else ""
        expected = values.describe(parameter.expected_type)
        raise UserError(f"{name} expects {expected}, not {given} ({current}){remedy}") from None


def split_call(call: str, kind: str) -> tuple[str, dict[str, str]]:
    """Returns the name and the source of each keyword argument of `name` or `name(argument=value, ...)`.

    Args:
        call: text of the call.
        kind: what the name is, for errors.

    Raises:
        UserError: if the text is not of this form.
    """
    call = call.strip()
    if "(" not in call:
        return call, {}
    parsed = None
    with suppress(SyntaxError, ValueError, MemoryError, RecursionError):
        parsed = ast.parse(call, mode="eval").body
    if not isinstance(parsed, ast.Call) or not isinstance(parsed.func, ast.Name) or parsed.args:
        raise UserError(f"{_quote(call)} is not a {kind}; write name or name(argument=value), with quoted strings")
    return parsed.func.id, {str(each.arg): ast.get_source_segment(call, each.value) or "" for each in parsed.keywords}


def _suggestions(path: str, everything: list[Parameter]) -> list[str]:
    """Returns the paths most similar to `path`, best first; values that the config sets come before defaults."""
    candidates = [each for each in everything if each.kind != "node" and not each.keys[-1].isdigit()]
    similarity = {each.path: _similarity(path, each) for each in candidates}
    ranked = sorted(candidates, key=lambda each: (-similarity[each.path], each.kind == "unset"))
    threshold = max([_MIN_SIMILARITY, *(each - _MAX_MARGIN for each in similarity.values())])
    return [each.path for each in ranked[:_MAX_SUGGESTIONS] if similarity[each.path] >= threshold]


def _similarity(path: str, parameter: Parameter) -> float:
    """Returns the similarity of `path` to the full path of the parameter or to its ending, 0 to 1."""
    keys = paths.split(path) or (path,)
    if _initials(keys[-1]) == parameter.keys[-1] or keys[-1] == _initials(parameter.keys[-1]):
        return _ABBREVIATION_SIMILARITY
    ending = ".".join(parameter.keys[-len(keys) :])
    return max(difflib.SequenceMatcher(None, path, each).ratio() for each in (parameter.path, ending))


def _initials(name: str) -> str:
    """Returns `wd` for `weight_decay`; empty for a single word."""
    words = [word for word in name.split("_") if word]
    return "".join(word[0] for word in words) if len(words) > 1 else ""


def _quote(text: str) -> str:
    """Returns text from the user as it is if it can be printed in a sentence, else as a string literal."""
    text = shorten(text)
    return text if text.isprintable() and text else repr(text)
