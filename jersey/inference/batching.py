"""Groups crops of any size into batches of one size each, and returns results in the order of the crops.

Files are decoded in threads while onnxruntime is busy. Crops are only taken from the input when the next batches need
them, so the input may be infinite.

Shapes: N crops, h w any size, 3 channels.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from PIL import Image

from jersey.core.errors import UserError
from jersey.data.decode import BadImage, decode, decode_image

T = TypeVar("T")
Crop: TypeAlias = np.ndarray | Image.Image | str | Path
"""RGB pixels uint8 [h,w,3], a PIL image, or the path of an image file."""

WINDOW = 8  # max number of batches that a crop waits for crops of its size, so that a rare size delays no result long
MAX_BATCH_BYTES = 64_000_000  # as float32 a batch takes four times as much, and the network several times that
MAX_WINDOW_BYTES = 512_000_000  # limits the memory of waiting crops to that of eight large batches


def pixels_of(crop: Any) -> np.ndarray | UserError:
    """Returns the pixels of a crop, uint8 [h,w,3], or the error if it is not a crop."""
    if isinstance(crop, UserError):  # from a line of a list that could not be parsed
        return crop
    try:
        if isinstance(crop, str | Path):
            return decode(Path(crop))
        return decode_image(crop) if isinstance(crop, Image.Image) else _checked(crop)
    except BadImage as error:
        return error


def _checked(crop: Any) -> np.ndarray | UserError:
    if not isinstance(crop, np.ndarray):
        what = f"a PIL image or the path of a file, and not a {type(crop).__name__}"
    elif crop.dtype != np.uint8:
        what = f"and not {crop.dtype}; pass the pixels as they were decoded, from 0 to 255"
    elif crop.ndim != 3 or crop.shape[2] != 3:
        hint = "put channels last, repeat gray three times, drop alpha, pass a batch to predict_all"
        what = f"and not of shape {list(crop.shape)}; {hint}"
    elif not crop.size:
        what = f"and this one is empty: its shape is {list(crop.shape)}"
    else:
        return crop
    return UserError(f"a crop is a uint8 array [height, width, 3] of RGB, {what}")


def decoded(crops: Iterable[Crop | UserError], *, ahead: int) -> Iterator[np.ndarray | UserError]:
    """Yields `pixels_of` each crop, in order.

    Args:
        crops: crops, or errors that replace them.
        ahead: max number of crops that are taken before the first of them is yielded, while threads decode files.
    """
    waiting: deque[Any] = deque()
    pool = ThreadPoolExecutor(thread_name_prefix="decode")  # threads start with the first file
    try:
        for crop in crops:
            waiting.append(pool.submit(pixels_of, crop) if isinstance(crop, str | Path) else pixels_of(crop))
            while waiting and (len(waiting) > ahead or not isinstance(waiting[0], Future)):
                yield _result(waiting.popleft())
        yield from map(_result, waiting)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _result(item: Any) -> np.ndarray | UserError:
    return item.result() if isinstance(item, Future) else item


class SizeBuckets(Generic[T]):
    """Collects crops by size until they fill a batch, and results until it is their turn.

    Args:
        run: returns one result for each crop of a batch, uint8 [N,3,h,w].
        batch_size: max number of crops in a batch.
    """

    def __init__(self, run: Callable[[np.ndarray], Sequence[T]], *, batch_size: int) -> None:
        self._run = run
        self._batch_size = batch_size
        self._waiting: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = {}  # crops and their turns, by shape
        self._bytes = 0
        self._results: dict[int, T | UserError] = {}
        self._turn = 0

    def results(self, pixels: Iterable[np.ndarray | UserError]) -> Iterator[T | UserError]:
        """Yields the result for each crop, uint8 [h,w,3], in order; errors are their own results."""
        for turn, crop_hw3 in enumerate(pixels):
            if isinstance(crop_hw3, UserError):
                self._results[turn] = crop_hw3
            else:
                self._add(turn, crop_hw3)
            yield from self._ready()
            while turn - self._turn >= WINDOW * self._batch_size or self._bytes > MAX_WINDOW_BYTES:
                # All results wait for the oldest crop, so its batch runs although it is not full.
                self._finish(next(shape for shape, group in self._waiting.items() if group[0][0] == self._turn))
                yield from self._ready()
        for shape in list(self._waiting):
            self._finish(shape)
        yield from self._ready()

    def _add(self, turn: int, crop_hw3: np.ndarray) -> None:
        group = self._waiting.setdefault(crop_hw3.shape, [])
        group.append((turn, crop_hw3))
        self._bytes += crop_hw3.nbytes
        if len(group) == self._batch_size or len(group) * crop_hw3.nbytes > MAX_BATCH_BYTES:
            self._finish(crop_hw3.shape)

    def _finish(self, shape: tuple[int, ...]) -> None:
        turns, crops = zip(*self._waiting.pop(shape), strict=True)
        self._bytes -= sum(crop.nbytes for crop in crops)
        height, width, _ = shape
        images_N3hw = np.empty((len(crops), 3, height, width), np.uint8)
        for image_3hw, crop_hw3 in zip(images_N3hw, crops, strict=True):  # three times as fast as one transpose of all
            image_3hw[:] = crop_hw3.transpose(2, 0, 1)
        results = self._run(images_N3hw)
        self._results.update(zip(turns, results, strict=True))

    def _ready(self) -> Iterator[T | UserError]:
        while self._turn in self._results:
            yield self._results.pop(self._turn)
            self._turn += 1
