"""A small file system that a test can fill."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, *, size_mb: int) -> Iterator[Path]:
    """Mounts a small file system in a folder for a test, which is skipped without the right to mount."""
    place.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "none", str(place)]
    if subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("a file system cannot be mounted here: this needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def filled(place: Path, *, but_mb: float = 0) -> Iterator[None]:
    """Fills a disk except for `but_mb`, and frees the space at the end."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    os.truncate(filler, max(0, filler.stat().st_size - int(but_mb * 2**20)))
    try:
        yield
    finally:
        filler.unlink()
