"""Which TCP ports a process listens on, as the kernel tells it."""

from pathlib import Path

_LISTEN = "0A"


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
