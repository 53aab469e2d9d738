"""Atomic file writes: a temporary file in the same folder is flushed and renamed over its target. Folders for files."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jersey.core.errors import UserError, WriteError, causes

RENAME_TRIES, RENAME_PAUSE_S = 3, 0.2


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`, to which the body writes the file.

    If the body succeeds, the temporary file replaces `path`; otherwise it is removed and `path` is unchanged.

    Raises:
        WriteError: the file system failed. Errors of the body about other files are raised unchanged.
    """
    # The suffix is kept because some writers choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        with as_write_error(path, written=temporary):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            rename(temporary, path)
    finally:
        with suppress(OSError):  # it would hide the error above
            temporary.unlink(missing_ok=True)


def rename(source: Path, target: Path) -> None:
    """Renames a file or folder over its target, and tries again after an error.

    A network drive can fail once, or report an error for a rename that it has done.

    Raises:
        OSError: the last try failed.
    """
    before = source.stat()
    for is_last in [False] * (RENAME_TRIES - 1) + [True]:
        try:
            source.replace(target)
            return
        except OSError:
            with suppress(OSError):
                if os.path.samestat(before, target.stat()):
                    return
            if is_last:
                raise
            time.sleep(RENAME_PAUSE_S)


@contextmanager
def as_write_error(path: Path, *, written: Path | None = None) -> Iterator[None]:
    """Turns the file system's errors about one file into a WriteError; other errors of the body are unchanged.

    Args:
        path: name of the file in the WriteError.
        written: file that the body writes, if it is another.
    """
    name = str(written or path)
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        for cause in causes(error):
            if not isinstance(cause, OSError) or not cause.errno:
                continue
            # An error of writing to an open file has no name, and one of copying has that of the source first.
            if cause.filename is None or name in map(str, (cause.filename, cause.filename2)):
                raise WriteError(cause.errno, cause.strerror, str(path)) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically, with unchanged newlines."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def require_folder(folder: Path, *, own: str, remedy: str) -> None:
    """Checks that results can be written into a folder and replace nothing but earlier ones; creates nothing.

    Args:
        folder: folder that `create_folder` will create later.
        own: name of a file that the same command has written if the folder has earlier results.
        remedy: what the user can do, as for `create_folder`.

    Raises:
        UserError: the folder cannot be written to, or has other files.
    """
    existing = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise UserError(f"cannot write into {folder}, as {existing} is not a folder that you may write to; {remedy}")
    if existing == folder and not (folder / own).exists() and any(folder.iterdir()):
        raise UserError(f"{folder} has files that the results could replace; {remedy}, which is new or empty")


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
