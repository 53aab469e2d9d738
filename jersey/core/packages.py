"""Finds and imports the modules that register experiments, fiddlers and parts, also those of other packages.

They are named by the program, by the flag `--import`, or by an installed package as an entry point of the group
`jersey.experiments`. Each module directly in a package is imported, so a new file needs no further registration.
"""

import importlib
import importlib.util
import traceback
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from jersey.core.errors import UserError, shorten

GROUP = "jersey.experiments"

_imported: dict[str, Path] = {}  # one file of each module


def entry_points() -> list[str]:
    """Returns the modules that installed packages declare in the group `jersey.experiments`, sorted."""
    return sorted({entry.module for entry in metadata.entry_points(group=GROUP)})


def trusted_packages() -> list[str]:
    """Returns the packages of all imported and declared modules, whose objects a saved config may name."""
    return sorted({name.partition(".")[0] for name in (*_imported, *entry_points())})


def imported_files() -> dict[str, Path]:
    """Returns a file of each module that has been imported and is not part of jersey, by the module's dotted name."""
    return {name: file for name, file in _imported.items() if name.partition(".")[0] != "jersey"}


def import_modules(names: Iterable[str]) -> None:
    """Imports modules, and of a package each module directly in it.

    Args:
        names: dotted names, such as "myteam.experiments".

    Raises:
        UserError: if a module does not exist or raises an exception.
    """
    for name in names:
        for module, file in source_files(name).items():
            try:
                importlib.import_module(module)
            except (Exception, SystemExit) as error:
                raise _broken(module, error, file.parent) from error
        _imported[name] = next(iter(source_files(name).values()))


def source_files(name: str) -> dict[str, Path]:
    """Returns the files of a module by dotted name, its own first, without importing it (but its parents).

    Args:
        name: dotted name of a module or package.

    Raises:
        UserError: if there is no such module, or a parent raises an exception.
    """
    if not all(part.isidentifier() for part in name.split(".")) or name.endswith(".py"):
        raise UserError(
            f"{shorten(name)!r} is not the name of a module; write it as in Python, without .py, such as myteam.exps"
        )
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise _broken(name, error, None) from error
        spec = None
    except (Exception, SystemExit) as error:
        raise _broken(name.rpartition(".")[0], error, None) from error
    files = {name: Path(spec.origin)} if spec and spec.origin and spec.has_location else {}
    for folder in spec.submodule_search_locations or () if spec else ():
        members = sorted(Path(folder).glob("*.py"))
        files |= {f"{name}.{file.stem}": file for file in members if not file.stem.startswith("__")}
    if not files:
        declared = "reinstall or uninstall the package that declares it" if name in entry_points() else ""
        remedy = declared or "install its package in this environment, or start in the folder that contains it"
        raise UserError(f"there is no module {name}; {remedy}")
    return files


def _broken(module: str, error: BaseException, folder: Path | None) -> UserError:
    """Describes an exception, with the last line of its traceback that is in the folder."""
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno))
    inside = [(file, line) for file, line in frames if folder is not None and Path(file).parent == folder]
    where = f", {inside[-1][0]} line {inside[-1][1]}" if inside else ""
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return UserError(f"cannot import {module} ({' '.join(reason.split())}{where}); correct it, or leave it out")
