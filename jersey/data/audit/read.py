"""Image files to what the audit keeps of them; no pixels outlive the reading of their file."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from jersey.data.audit.hashes import Fingerprint, fingerprint
from jersey.data.decode import decode_content
from jersey.data.image_file import BadImage, Picture, picture_of, read_content

IMAGES_WORTH_A_WORKER = 1000
_AT_A_TIME = 4096  # the pool takes in at once all it is given
_CHUNK = 32


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
        content = read_content(path)
        look = None if fast else fingerprint(decode_content(content, path))
        return picture_of(content, path), look
    except BadImage as problem:
        return problem.reason


def _in_processes(
    read: Callable[[Path], Reading | str], paths: Sequence[Path], workers: int
) -> Iterator[Reading | str]:
    # Spawned, since a forked process inherits locks that the progress bar's thread may hold.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_leave_interrupts_to_parent) as pool:
        for start in range(0, len(paths), _AT_A_TIME):
            yield from pool.map(read, paths[start : start + _AT_A_TIME], chunksize=_CHUNK)


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
