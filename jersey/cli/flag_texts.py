"""Checks the flags whose texts alone can be wrong, before the experiments and torch are imported, which takes seconds.

The names of experiments and fiddlers are read from their source code (`jersey.cli.listing`). Paths and values of a
config are checked later, by the config itself.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from jersey.cli.listing import registered
from jersey.config import values
from jersey.config.overrides import split_call, split_override
from jersey.config.registry import require_known
from jersey.config.saved import CONFIG, read
from jersey.core.errors import UserError, shorten
from jersey.runs.folder import require_run_name


def check_flags(
    arguments: Sequence[str],
    modules: Sequence[str] | None,
    exp: str | None,
    saved: str | None,
    fiddlers: Sequence[str],
    overrides: Sequence[str],
    other: str | None,
    axes: Sequence[str],
    dimensions: Sequence[str],
    run_name: str | None,
) -> None:
    """Checks the texts of flags.

    Args:
        arguments: words of the command that are not flags.
        modules: modules whose sources define all experiments and fiddlers; None if names are checked later.
        exp: name of an experiment.
        saved: run folder or config.json.
        fiddlers: calls of fiddlers.
        overrides: `path=value` each.
        other: experiment, run folder or config.json to compare with.
        axes: a text `path=value,value,...` each.
        dimensions: a text `path=log(low,high)` or the like each.
        run_name: name of the run folder.

    Raises:
        UserError: a text is malformed or names something unknown, or not exactly one config is selected.
    """
    if arguments:
        raise UserError(f"{arguments[0]!r} is not a flag; write --name=value, see --help")
    experiments = registered(modules, "experiment") if modules else None
    known_fiddlers = registered(modules, "fiddler") if modules else None
    if exp and saved:
        raise UserError("--exp and --config both select a config; use one of them")
    if saved:
        read(Path(saved))
    elif exp and experiments is not None:
        require_known("experiment", exp, experiments)
    elif not exp:
        known = "see --list" if experiments is None else f"use one of {', '.join(experiments)}"
        raise UserError(f"--exp is missing; {known}")
    for call in fiddlers:
        name, _ = split_call(call, "fiddler")
        if known_fiddlers is not None:
            require_known("fiddler", name, known_fiddlers)
    for override in overrides:
        split_override(override)
    if other is not None and experiments is not None:
        require_other(other, experiments)
    for flag, texts in (("sweep", axes), ("search", dimensions)):
        for text in texts:
            split_axis(text, flag)
    if run_name is not None:
        require_run_name(run_name)


def require_other(other: str, experiments: Collection[str]) -> None:
    """Raises a UserError unless `other` is one of the experiments, or an existing path."""
    with suppress(OSError):  # the text cannot be a file name
        if other and Path(other).exists():
            return
    try:
        require_known("experiment", other, experiments)
    except UserError as unknown:
        raise UserError(f"{unknown}; and there is no run folder or {CONFIG} at {shorten(other)!r}") from None


def split_axis(axis: str, flag: str) -> tuple[str, list[str]]:
    """Returns the path and the texts of the values, split at commas outside brackets and quotes.

    Args:
        axis: text of one flag.
        flag: name of the flag, for errors.

    Raises:
        UserError: if the text is not an axis, or a value is empty.
    """
    try:
        path = next(values.pieces(axis, "="))
        texts = [text.strip() for text in values.pieces(axis[len(path) + 1 :], ",")]
    except values.TypeMismatch as bracket:
        raise UserError(
            f"--{flag}={shorten(axis)!r} lacks a {bracket}; a string that contains a bracket needs quotes"
        ) from None
    if not path.strip() or path == axis:
        raise UserError(f"--{flag}={shorten(axis)!r} is not an axis; write path=value,value, such as lr=1e-4,3e-4")
    if "" in texts:
        raise UserError(
            f"--{flag}={shorten(axis)!r} has an empty value; remove the comma, or write '' for an empty string"
        )
    return path.strip(), texts
