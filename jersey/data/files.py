"""Decides which files of a folder are read and which names are valid, alike for training, audit and predictor."""

import os
import posixpath
from collections.abc import Callable, Iterator
from pathlib import Path

from jersey.core.errors import UserError, shorten

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})

OnProblem = Callable[[UserError], None]
"""A function that is called with each problem of a data set; it may raise it, or return to continue."""


def suffix_of(name: str) -> str:
    """Returns the suffix of a file name in lower case, with its dot."""
    return posixpath.splitext(name)[1].lower()


def is_image(name: str) -> bool:
    """Returns whether a file name has the suffix of an image."""
    return suffix_of(name) in IMAGE_SUFFIXES


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder of this name is ignored."""
    return name.startswith(".") or name == "__MACOSX"


def is_folder(path: Path) -> bool:
    """Returns whether the path is a folder; False also for a name that is too long or in a folder without access."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir would raise


def entries(folder: Path, on_problem: OnProblem) -> list[Path]:
    """Lists the files and folders in a folder that are not hidden; none after a problem."""
    try:
        return [entry for entry in folder.iterdir() if not is_hidden(entry.name)]
    except OSError as error:
        on_problem(_unlistable(error))
        return []


def walk(folder: str | Path, on_problem: OnProblem) -> Iterator[str]:
    """Yields the paths of all files below a folder that are not hidden; ignores links to folders, which may loop."""
    for parent, folders, files in os.walk(folder, onerror=lambda error: on_problem(_unlistable(error))):
        folders[:] = [name for name in folders if not is_hidden(name)]
        yield from (posixpath.join(parent, name) for name in files if not is_hidden(name))


def images_below(folder: Path) -> list[Path]:
    """Lists the image files in and below a folder, sorted by path; raises UserError if a folder cannot be listed."""

    def stop(problem: UserError) -> None:
        raise problem

    return sorted(Path(file) for file in walk(folder, stop) if is_image(file))


def validate_name(name: str, *, what: str = "label", where: str) -> None:
    """Raises UserError if a name has invisible characters or surrounding white space.

    Args:
        name: label or other name.
        what: what the name is, for the error.
        where: place of the name, for the error.
    """
    if name != name.strip():
        raise UserError(f"{where}: the {what} {shorten(name)!r} has white space around it; remove that")
    if not name.isprintable():
        raise UserError(
            f"{where}: the {what} {shorten(name)!r} has characters that cannot be seen or written; rename it"
        )


def _unlistable(error: OSError) -> UserError:
    return UserError(f"cannot list the folder {error.filename}: {error.strerror}; choose one that you may read")
