"""Locks of files between processes, which end with their process in any way. They work on local disks and NFS 4."""

import fcntl
from pathlib import Path
from typing import IO


def try_lock(path: Path) -> IO[str] | None:
    """Locks a file, which is created if it is missing, until the returned handle is closed or the process ends.

    Args:
        path: file in an existing folder.

    Returns:
        The open file, or None if another process, or another handle of this one, holds the lock.
    """
    handle = path.open("a")  # "w" would empty the target of a link
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle


def is_locked(path: Path) -> bool:
    """Returns whether a process holds the lock of this file, which need not exist."""
    if not path.exists():
        return False
    handle = try_lock(path)
    if handle is not None:
        handle.close()
    return handle is None
