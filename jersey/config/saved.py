"""What a run folder keeps of its config, and the way back.

`config.json` is Fiddle's own format with the experiment's name beside it, so that the file alone can repeat the run.
`config.py` is the same graph for people. Reading takes files from anywhere; `reader` says what that means.
"""

from __future__ import annotations

import json
import math
import reprlib
from pathlib import Path
from typing import Any

import fiddle as fdl
from fiddle.experimental import serialization

from jersey.config import typehints, values
from jersey.config.paths import Parameter, parameters
from jersey.config.python_code import as_python
from jersey.config.reader import Malformed, read
from jersey.core.errors import UserError

__all__ = ["CONFIG", "as_python", "from_json", "load", "to_json"]

CONFIG = "config.json"


def to_json(config: fdl.Buildable, experiment: str) -> str:
    """The whole graph, shared sub-configs included, and the name of the experiment whose folder it belongs to."""
    document = {"experiment": experiment, **json.loads(serialization.dump_json(config))}
    return json.dumps(document, indent=1) + "\n"


def from_json(text: str) -> fdl.Buildable:
    """The graph that `to_json` wrote; a UserError for other text and for names that a config may not hold."""
    return _config(_document(text))


def load(path: Path) -> tuple[str, fdl.Buildable]:
    """The experiment's name and the config of a run: from its folder or from its config.json.

    Raises:
        UserError: there is no such file, or it is not the config of a run, or not one of this version of the code.
    """
    file, text = _found(path)
    try:
        document = _document(text)
        experiment = document.get("experiment")
        if not isinstance(experiment, str) or not experiment.isidentifier():
            raise UserError(f"not the config of a run: its experiment is called {experiment!r}")
        config = _config(document)
        _require_types(config)
        return experiment, config
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def _found(path: Path) -> tuple[Path, str]:
    """The file that `path` means, and what is in it."""
    try:
        if path.is_dir() and not (path / CONFIG).exists():
            raise UserError(f"the folder {path} holds no {CONFIG}; name the folder of one run, or a {CONFIG}")
        file = path / CONFIG if path.is_dir() else path
        return file, file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a saved config: it is no text") from error


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"not a saved config: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise UserError(f"not a saved config: it holds a {type(document).__name__}")
    return document


def _config(document: dict[str, Any]) -> fdl.Buildable:
    try:
        return read(document)
    except UserError:
        raise
    except (Malformed, LookupError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"not a saved config, or a damaged one: {' '.join(str(error).split())}") from error


def _require_types(config: fdl.Buildable) -> None:
    """A file can hold any value anywhere, where an override could not have put it."""
    for each in parameters(config)[1:]:
        if each.kind in ("leaf", "node") and not _fits(each):
            raise UserError(
                f"the config does not fit this version of the code: {each.path} wants "
                f"{typehints.describe(each.wanted)}, not {reprlib.repr(each.value)}"
            )


def _fits(parameter: Parameter) -> bool:
    if parameter.kind == "node":
        return not all(map(typehints.is_of_values, typehints.alternatives(parameter.wanted)))
    value = parameter.value
    if isinstance(value, float) and not math.isfinite(value):  # no override, but a function may set it
        value = 0.0
    try:
        values.fit(value, parameter.wanted)
    except values.Mismatch:
        return False
    return True
