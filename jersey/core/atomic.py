"""Atomic file writes: a temporary file in the same folder is flushed and renamed over its target. Folders for files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jersey.core.errors import UserError, full_disk


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`, to which the body writes the file.

    If the body succeeds, the temporary file replaces `path`; otherwise it is removed and `path` is unchanged.
    """
    # The suffix is kept because some writers choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        with with_filename(path):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def with_filename(path: Path) -> Iterator[None]:
    """Adds `path` to a disk-full error of the body, which may lack the name of the file."""
    try:
        yield
    except Exception as error:
        if (cause := full_disk(error)) is not None:
            cause.filename = cause.filename or str(path)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically, with unchanged newlines."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def create_folder(folder: Path, *, remedy: str) -> None:
    """Creates a folder and those around it, unless they exist.

    Args:
        folder: folder to create.
        remedy: what the user can do if that fails, such as "choose another --workdir".

    Raises:
        UserError: the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create the folder {folder} ({error.strerror}); {remedy}") from None
