"""Decodes and resizes the crops of a split once, into memory or into a file that later runs memory-map.

The name of the file is a hash of what it holds: the image files (each by its inode, size and times, which change with
every write and cannot all be restored) and their preprocessing. Any change leads to another name, so stale rows are
never read. A file appears whole or not at all; one process builds it while others wait.

A sidecar file lists the bad images, which have no row. If an image could not even be read, no file is kept.

Shapes: N crops, h w size of an image, H W of the network's input.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
import torch
from filelock import FileLock, Timeout

from jersey.core.atomic import atomic_write
from jersey.core.errors import UserError
from jersey.data.decode import IMAGE_META, BadImage, ImageReadError, decode_all

log = logging.getLogger(__name__)

VERSION = 3  # must be raised when `decode` or `resize` change what a row holds
MAX_CACHED = 3  # files per split and size; older ones are removed, so that a changing data set does not fill the disk
TICK_S = 0.1  # two writes this far apart have different times


@dataclass(frozen=True)
class DecodedCrops:
    """The images of a split after decoding.

    Attributes:
        images_NCHW: resized good images in order, uint8 [N,3,H,W].
        image_meta_N: IMAGE_META [N] of the good images.
        bad: bad images by their index among all files of the split.
    """

    images_NCHW: np.ndarray
    image_meta_N: np.ndarray
    bad: Mapping[int, BadImage]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Turns image files into rows.

    Attributes:
        resize: function from uint8 RGB [h,w,3] to uint8 [3,H,W], called in threads.
        size_px: H and W.
        settings: text that stands for everything else that `resize` depends on.
    """

    resize: Callable[[np.ndarray], np.ndarray]
    size_px: tuple[int, int]
    settings: str

    def decode(self, paths: Sequence[Path], images_NCHW: np.ndarray, *, name: str) -> DecodedCrops:
        """Decodes and resizes images, with a progress bar.

        Args:
            paths: image files.
            images_NCHW: array with a row for each file, of which the first are filled with the good images, in order.
            name: name of the split.

        Returns:
            Crops, in a view of `images_NCHW`.

        Raises:
            UserError: a file has changed meanwhile, so that the crops are of no single state of the data set.
        """
        before_N4 = _stats(paths)

        def store(row: int, pixels_hw3: np.ndarray) -> None:
            images_NCHW[row] = self.resize(pixels_hw3)

        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # images are decoded in as many threads as there are cores; each would start more
        try:
            image_meta_N, bad = decode_all(paths, store, description=f"decoding {name}")
        finally:
            torch.set_num_threads(threads)
        # The last number also changes with a hard link, which a backup may make.
        if changed := np.flatnonzero((_stats(paths) != before_N4)[:, :3].any(axis=1)).tolist():
            raise UserError(
                f"{paths[changed[0]]} has changed while {name} was decoded; start again when nothing writes there"
            )
        good = [row for row in range(len(paths)) if row not in bad]
        for new_row, row in enumerate(good):
            if new_row < row:
                images_NCHW[new_row] = images_NCHW[row]
        return DecodedCrops(images_NCHW[: len(good)], image_meta_N[good], bad)


def load_crops(
    paths_of: Mapping[str, Sequence[Path]], preprocessing: Preprocessing, *, folder: Path | None
) -> dict[str, DecodedCrops]:
    """Decodes the image files of each split, or maps the crops that an earlier run has decoded.

    Args:
        paths_of: image files, at least one, by the name of the split, with which the names of its cache files begin.
        preprocessing: function that resizes each image, and its settings.
        folder: folder of the cache files. Crops are kept in memory if it is None or, after one warning, if it cannot be
            written to.
    """
    crops, has_warned = {}, False
    for name, paths in paths_of.items():
        if folder is not None:
            prefix = f"{name}-{preprocessing.size_px[0]}x{preprocessing.size_px[1]}-"
            file = folder / f"{prefix}{_key(paths, preprocessing.settings)}.npy"
            try:
                crops[name] = _load(file, paths) or _build(file, paths, preprocessing, name=name, prefix=prefix)
                continue
            except OSError as error:
                if not has_warned:
                    what = f"cannot store decoded crops in {folder} ({error.strerror or error})"
                    remedy = "set data.cache to a writable folder, or to None"
                    log.warning("%s, so every start decodes them again; %s", what, remedy)
                has_warned = True
        images_NCHW = np.empty((len(paths), 3, *preprocessing.size_px), np.uint8)
        crops[name] = preprocessing.decode(paths, images_NCHW, name=name)
    return crops


def _key(paths: Sequence[Path], settings: str) -> str:
    """Returns a hash of the files' identities, in order, and of their preprocessing."""
    stats_N4 = _stats(paths)
    age_s = time.time() - stats_N4[:, 2:].max() / 1e9
    if 0 <= age_s < TICK_S:  # another write within the same tick of the clock would not be seen
        time.sleep(TICK_S - age_s)
    versions = f"{VERSION} {PIL.__version__} {settings}\n"
    return hashlib.sha256(versions.encode() + stats_N4.tobytes()).hexdigest()[:24]


def _stats(paths: Sequence[Path]) -> np.ndarray:
    """Returns inode, size and both times of each file, int64 [N, 4]."""
    return np.array([_stat(path) for path in paths], np.int64).reshape(-1, 4)


def _stat(path: Path) -> tuple[int, int, int, int]:
    try:
        found = path.stat()
    except (OSError, UnicodeEncodeError):
        return 0, 0, 0, 0  # decoding will report the error
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _load(file: Path, paths: Sequence[Path]) -> DecodedCrops | None:
    """Maps a cache file; returns None if it does not exist or is damaged."""
    try:
        with np.load(_sidecar(file)) as known:
            image_meta_N, bad_rows, reasons = known["image_meta_N"], known["bad_rows"], known["reasons"]
        # Copy-on-write: torch needs a writable array, and the file must not change.
        images_NCHW = np.load(file, mmap_mode="c")[: len(image_meta_N)]
        if (images_NCHW.dtype, image_meta_N.dtype) != (np.uint8, IMAGE_META):
            return None
    except Exception:  # numpy raises many kinds of errors for a damaged file
        return None
    with suppress(OSError):
        os.utime(file)  # see `_prune`
    bad = zip(bad_rows.tolist(), reasons.tolist(), strict=True)
    return DecodedCrops(images_NCHW, image_meta_N, {row: BadImage(paths[row], reason) for row, reason in bad})


def _build(file: Path, paths: Sequence[Path], preprocessing: Preprocessing, *, name: str, prefix: str) -> DecodedCrops:
    """Decodes into a cache file and maps it, unless another process has just built it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with _lock(file.parent):
        if crops := _load(file, paths):
            return crops
        with atomic_write(file) as temporary, atomic_write(_sidecar(file)) as temporary_sidecar:
            shape = (len(paths), 3, *preprocessing.size_px)
            images_NCHW = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
            with temporary.open("r+b") as opened:  # a full disk must raise here, and not kill the process later
                os.posix_fallocate(opened.fileno(), 0, temporary.stat().st_size)
            decoded = preprocessing.decode(paths, images_NCHW, name=name)
            reasons = np.array([problem.reason for problem in decoded.bad.values()], np.str_)
            np.savez(temporary_sidecar, image_meta_N=decoded.image_meta_N, bad_rows=[*decoded.bad], reasons=reasons)
            images_NCHW.flush()
        _prune(file.parent, prefix)
        crops = _load(file, paths)
        assert crops is not None
        if any(isinstance(problem, ImageReadError) for problem in decoded.bad.values()):
            _remove(file)  # the mapping stays valid
        return crops


def _lock(folder: Path) -> AbstractContextManager:
    """Waits until no other process decodes into the folder, and logs it if that takes any time."""
    lock = FileLock(folder / ".lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        log.info("waiting for another process that decodes into %s", folder)
        return lock.acquire()


def _sidecar(file: Path) -> Path:
    return file.with_suffix(".files.npz")


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
    _sidecar(file).unlink(missing_ok=True)


def _prune(folder: Path, prefix: str) -> None:
    """Removes leftovers of killed processes, and all but the most recently used files; mapped ones stay readable."""
    newest_first = sorted(folder.glob(f"{prefix}*.npy"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in newest_first[MAX_CACHED:]:
        _remove(file)
    for file in folder.glob(".*.partial.np[yz]"):
        file.unlink(missing_ok=True)
