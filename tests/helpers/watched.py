"""What this process does to the world around some folders, and where a process listens.

The first is told by audit events of Python: what libraries write by code of their own (RocksDB) is not seen.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.symlink", "os.link", "os.rename"}
_DEEDS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.bind", "socket.connect"}
_DEEDS |= {"pickle.find_class", "urllib.Request"}

_LISTEN = "0A"  # the kernel's word for a socket that does

_watches: list[tuple[tuple[str, ...], list[str]]] = []


@contextmanager
def watched(*folders: Path) -> Iterator[list[str]]:
    """Fills a list with what is started, connected to, unpickled, or written outside the folders, while it lasts."""
    if not getattr(sys, "_jersey_is_watched", False):  # a hook cannot be taken away again
        sys.addaudithook(_hear)
        sys._jersey_is_watched = True  # type: ignore[attr-defined]
    seen: list[str] = []
    _watches.append((tuple(os.path.realpath(folder) for folder in folders), seen))
    try:
        yield seen
    finally:
        _watches.pop()


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watches:
        return
    folders, seen = _watches[-1]
    if event in _DEEDS:
        seen.append(f"{event} {arguments[:2]!r}")
    elif event in _CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING):
        # What is there already comes first; a rename changes both, and a link is made where it is named second.
        paths = arguments[:2] if event in ("os.rename", "os.link") else arguments[event == "os.symlink" :][:1]
        seen += [f"{event} {path!r}" for path in paths if _is_outside(path, folders)]


def _is_outside(path: Any, folders: tuple[str, ...]) -> bool:
    if not isinstance(path, str | bytes | os.PathLike):  # an open file
        return False
    real = os.path.realpath(os.fsdecode(path))
    is_harmless = real == os.devnull or "__pycache__" in real
    return not is_harmless and not any(real == folder or real.startswith(f"{folder}/") for folder in folders)


def listening(pid: int) -> list[int]:
    """The ports, at any address."""
    return [port for _, port in addresses(pid)]


def addresses(pid: int) -> list[tuple[str, int]]:
    """(address as the kernel writes it, port) of each socket that listens."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(link.readlink()))
        except OSError:  # closed since
            continue
    return [(address, port) for inode, address, port in _sockets(pid) if f"socket:[{inode}]" in inodes]


def _sockets(pid: int) -> list[tuple[str, str, int]]:
    """(inode, address, port) of every socket of the machine that listens."""
    lines = [line for kind in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]]
    cells = [line.split() for line in lines]
    found = [(row[9], *row[1].split(":")) for row in cells if row[3] == _LISTEN]
    return [(inode, address, int(port, 16)) for inode, address, port in found]
