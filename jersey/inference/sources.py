"""Which images a person means."""

import os
import posixpath
from pathlib import Path

from jersey.data.index import IMAGE_SUFFIXES
from jersey.errors import UserError


def images_below(folder: Path) -> list[Path]:
    """The image files in a folder and in those below it, sorted; hidden ones are left out, links not followed.

    Raises:
        UserError: a folder cannot be listed.
    """
    images: list[Path] = []
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        images += [Path(parent, name) for name in files if is_image(name)]
    return sorted(images)


def is_image(name: str) -> bool:
    """Whether a file of this name in a folder is taken for an image."""
    return not _is_hidden(name) and posixpath.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _refuse(error: OSError) -> None:
    raise UserError(f"cannot list the folder {error.filename} ({error.strerror}); name one that can be read")
