"""Image files to what the audit keeps of them; no pixels outlive the reading of their file."""

import hashlib
import io
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from jersey.data.audit.hashes import Fingerprint, fingerprint
from jersey.data.decode import FORMATS, BadImage, decode

IMAGES_WORTH_A_WORKER = 1000
_AT_A_TIME = 4096  # the pool takes in at once all it is given
_CHUNK = 32


@dataclass(frozen=True, slots=True)
class Picture:
    """One image file.

    Args:
        digest: of the file's bytes.
        width_px: as stored, before the EXIF orientation.
        height_px: likewise.
        kind: file format and Pillow's mode, "JPEG RGB".
    """

    digest: bytes
    width_px: int
    height_px: int
    kind: str


Reading = tuple[Picture, Fingerprint | None]  # no fingerprint after a fast reading


def read_all(paths: Sequence[Path], *, fast: bool, workers: int | None = None) -> Iterator[Reading | str]:
    """Yields what is known of each file, or what is wrong with it, in order, with a progress bar.

    Args:
        paths: image files.
        fast: read headers only; damaged pixels are then not found, and there are no fingerprints.
        workers: processes; None takes one per core where that is worth their start.
    """
    read = partial(read_image, fast=fast)
    workers = workers or min(os.cpu_count() or 1, len(paths) // IMAGES_WORTH_A_WORKER)
    # Reading headers is a matter of the disk; threads would be no faster than one, since Pillow's Python holds them up.
    results = map(read, paths) if fast or workers < 2 else _in_processes(read, paths, workers)
    yield from tqdm(results, total=len(paths), desc="reading images", unit="image", disable=None)


def read_image(path: Path, *, fast: bool) -> Reading | str:
    """What is known of a file, or what is wrong with it."""
    try:
        content = _read_bytes(path)
        look = None if fast else fingerprint(decode(path))
        return _describe(path, content), look
    except BadImage as problem:
        return problem.reason


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise BadImage(path, "is not a file")
        content = path.read_bytes()
    except OSError as error:
        raise BadImage(path, f"cannot be read ({error.strerror})") from None
    if not content:
        raise BadImage(path, "is empty")
    return content


def _describe(path: Path, content: bytes) -> Picture:
    """What the header says; after decoding it says something."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            kind = f"{image.format} {image.mode}"
            return Picture(hashlib.sha256(content).digest(), image.width, image.height, kind)
    except Exception:  # damaged files make Pillow raise SyntaxError, struct.error and more
        raise BadImage(path, f"is not an image of a known kind ({', '.join(FORMATS)})") from None


def _in_processes(
    read: Callable[[Path], Reading | str], paths: Sequence[Path], workers: int
) -> Iterator[Reading | str]:
    # Spawned, since a forked process inherits locks that the progress bar's thread may hold.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_leave_interrupts_to_parent) as pool:
        for start in range(0, len(paths), _AT_A_TIME):
            yield from pool.map(read, paths[start : start + _AT_A_TIME], chunksize=_CHUNK)


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
