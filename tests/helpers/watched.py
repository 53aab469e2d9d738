"""Records actions of this process outside of some folders, the ports on which a process listens, and its end.

Actions are recorded from audit events of Python, so writes of native code (RocksDB) are not recorded.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.symlink", "os.link", "os.rename"}
_ACTIONS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.bind", "socket.connect"}
_ACTIONS |= {"pickle.find_class", "urllib.Request"}

_LISTEN = "0A"  # the kernel's code for a listening socket

_watches: list[tuple[tuple[str, ...], list[str]]] = []


@contextmanager
def watched(*folders: Path) -> Iterator[list[str]]:
    """Yields a list that collects processes, connections, unpickled objects, and writes outside the folders."""
    if not getattr(sys, "_jersey_is_watched", False):  # a hook cannot be removed
        sys.addaudithook(_record)
        sys._jersey_is_watched = True  # type: ignore[attr-defined]
    seen: list[str] = []
    _watches.append((tuple(os.path.realpath(folder) for folder in folders), seen))
    try:
        yield seen
    finally:
        _watches.pop()


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watches:
        return
    folders, seen = _watches[-1]
    if event in _ACTIONS:
        seen.append(f"{event} {arguments[:2]!r}")
    elif event in _CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING):
        # A rename changes both paths; `symlink` creates its second path.
        paths = arguments[:2] if event in ("os.rename", "os.link") else arguments[event == "os.symlink" :][:1]
        seen += [f"{event} {path!r}" for path in paths if _is_outside(path, folders)]


def _is_outside(path: Any, folders: tuple[str, ...]) -> bool:
    if not isinstance(path, str | bytes | os.PathLike):  # an open file
        return False
    real = os.path.realpath(os.fsdecode(path))
    is_harmless = real == os.devnull or "__pycache__" in real
    return not is_harmless and not any(real == folder or real.startswith(f"{folder}/") for folder in folders)


def listening(pid: int) -> list[int]:
    """Returns the ports on which a process listens, at any address."""
    return [port for _, port in addresses(pid)]


def addresses(pid: int) -> list[tuple[str, int]]:
    """Returns (address in the kernel's format, port) of each listening socket of a process."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(link.readlink()))
        except OSError:  # closed meanwhile
            continue
    return [(address, port) for inode, address, port in _sockets(pid) if f"socket:[{inode}]" in inodes]


def _sockets(pid: int) -> list[tuple[str, str, int]]:
    """Returns (inode, address, port) of every listening socket of the machine."""
    lines = [line for kind in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]]
    cells = [line.split() for line in lines]
    found = [(row[9], *row[1].split(":")) for row in cells if row[3] == _LISTEN]
    return [(inode, address, int(port, 16)) for inode, address, port in found]


def has_ended(pid: int) -> bool:
    """Returns whether a process has ended, even if its parent, which may be a new one, does not wait for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
