"""Decides which files of a folder are read and which names are valid, alike for training, audit and predictor."""

import os
import posixpath
from collections.abc import Callable, Iterator
from pathlib import Path

from jersey.core.errors import UserError, shorten

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})

OnProblem = Callable[[UserError], None]


def suffix_of(name: str) -> str:
    """Returns the suffix in lower case, with its dot."""
    return posixpath.splitext(name)[1].lower()


def is_image(name: str) -> bool:
    """Whether the name has the suffix of an image."""
    return suffix_of(name) in IMAGE_SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is ignored."""
    return name.startswith(".") or name == "__MACOSX"


def is_folder(path: Path) -> bool:
    """Whether the path is a folder; False also for a name that is too long or inside a folder without access."""
    return os.path.isdir(path)  # noqa: PTH112 - Path's would raise


def entries(folder: Path, on_problem: OnProblem) -> list[Path]:
    """Lists the files and folders in a folder that are not hidden."""
    try:
        return [entry for entry in folder.iterdir() if not is_hidden(entry.name)]
    except OSError as error:
        on_problem(_unlistable(error))
        return []


def walk(folder: str | Path, on_problem: OnProblem) -> Iterator[str]:
    """Yields the files below a folder that are not hidden. Links to folders are not followed: they could loop."""
    for parent, folders, files in os.walk(folder, onerror=lambda error: on_problem(_unlistable(error))):
        folders[:] = [name for name in folders if not is_hidden(name)]
        yield from (posixpath.join(parent, name) for name in files if not is_hidden(name))


def images_below(folder: Path) -> list[Path]:
    """Lists the image files in a folder and below it, sorted; raises UserError if a folder cannot be listed."""

    def stop(problem: UserError) -> None:
        raise problem

    return sorted(Path(file) for file in walk(folder, stop) if is_image(file))


def validate_name(name: str, *, what: str = "label", where: str) -> None:
    """Raises UserError if a label, or another name (`what`), has invisible characters or surrounding white space."""
    if name != name.strip():
        raise UserError(f"{where}: the {what} {shorten(name)!r} has white space around it; remove that")
    if not name.isprintable():
        raise UserError(
            f"{where}: the {what} {shorten(name)!r} has characters that cannot be seen or written; rename it"
        )


def _unlistable(error: OSError) -> UserError:
    return UserError(f"cannot list the folder {error.filename}: {error.strerror}; choose one that you may read")
