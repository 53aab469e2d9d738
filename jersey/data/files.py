"""Which files of a folder count, and which names they may have: one rule for training, audit and predictor."""

import os
import posixpath
from collections.abc import Callable, Iterator
from pathlib import Path

from jersey.core.errors import UserError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})

OnProblem = Callable[[UserError], None]


def suffix_of(name: str) -> str:
    """The suffix in lower case, with its dot."""
    return posixpath.splitext(name)[1].lower()


def is_image(name: str) -> bool:
    """Whether the name has the suffix of an image."""
    return suffix_of(name) in IMAGE_SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a file or folder is passed over."""
    return name.startswith(".") or name == "__MACOSX"


def is_folder(path: Path) -> bool:
    """Whether the path is a folder; False too for a name too long, or a folder without the right to look inside."""
    return os.path.isdir(path)  # noqa: PTH112 - Path's would raise


def entries(folder: Path, on_problem: OnProblem) -> list[Path]:
    """The files and folders in a folder that are not hidden."""
    try:
        return [entry for entry in folder.iterdir() if not is_hidden(entry.name)]
    except OSError as error:
        on_problem(_unlistable(error))
        return []


def walk(folder: str | Path, on_problem: OnProblem) -> Iterator[str]:
    """The files in a folder and below it that are not hidden. Links to folders are not followed: they could loop."""
    for parent, folders, files in os.walk(folder, onerror=lambda error: on_problem(_unlistable(error))):
        folders[:] = [name for name in folders if not is_hidden(name)]
        yield from (posixpath.join(parent, name) for name in files if not is_hidden(name))


def images_below(folder: Path) -> list[Path]:
    """The image files in a folder and below it, sorted; UserError where a folder cannot be listed."""

    def stop(problem: UserError) -> None:
        raise problem

    return sorted(Path(file) for file in walk(folder, stop) if is_image(file))


def validate_name(name: str, *, what: str = "label", where: str) -> None:
    """Refuses a label, or what else names crops, that does not look like what it is."""
    if name != name.strip():
        raise UserError(f"{where}: the {what} {name!r} has white space around it; remove that")
    if not name.isprintable():
        raise UserError(f"{where}: the {what} {name!r} has characters that cannot be seen or written; rename it")


def _unlistable(error: OSError) -> UserError:
    return UserError(f"cannot list the folder {error.filename}: {error.strerror}; name one that you may read")
