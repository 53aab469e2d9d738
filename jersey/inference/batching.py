"""Groups crops of any size into batches of one size each, and returns results in the order of the crops.

Files are decoded in threads while onnxruntime is busy. Crops are only taken from the input when the next batches need
them, so the input may be infinite. A FLUSH in the input makes the results of all crops before it come at once.

Shapes: N crops, h w any size, 3 channels.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from jersey.core.errors import UserError
from jersey.inference.crops import ColorOrder, Crop, pixels_of
from jersey.inference.pacing import FLUSH, Flush

T = TypeVar("T")

WINDOW = 8  # max number of batches that a crop waits for crops of its size, so that a rare size delays no result long
MAX_BATCH_BYTES = 64_000_000  # as float32 a batch takes four times as much, and the network several times that
MAX_WINDOW_BYTES = 512_000_000  # limits the memory of waiting crops to that of eight large batches


def decoded(
    crops: Iterable[Crop | UserError | Flush], *, ahead: int, color: ColorOrder = "rgb"
) -> Iterator[np.ndarray | UserError | Flush]:
    """Yields `pixels_of` each crop, in order.

    The threads end with the iteration: a process that is forked later would wait forever for those of its parent.

    Args:
        crops: crops, or errors that replace them.
        ahead: max number of crops that are taken before the first of them is yielded; a FLUSH waits for none.
        color: order of the channels of arrays.
    """
    waiting: deque[Any] = deque()
    pool = ThreadPoolExecutor(thread_name_prefix="decode")  # its threads start with the first file
    try:
        for crop in crops:
            if isinstance(crop, str | Path | bytes):
                waiting.append(pool.submit(pixels_of, crop, color))
            else:
                waiting.append(crop if isinstance(crop, Flush) else pixels_of(crop, color))
            while waiting and (crop is FLUSH or len(waiting) > ahead or not isinstance(waiting[0], Future)):
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


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

    def results(self, pixels: Iterable[np.ndarray | UserError | Flush]) -> Iterator[T | UserError]:
        """Yields the result for each crop, uint8 [h,w,3], in order; errors are their own results."""
        next_turn = 0
        for crop_hw3 in pixels:
            if isinstance(crop_hw3, Flush):
                self._finish_all()
                yield from self._ready()
                continue
            if isinstance(crop_hw3, UserError):
                self._results[next_turn] = crop_hw3
            else:
                self._add(next_turn, crop_hw3)
            next_turn += 1
            yield from self._ready()
            while next_turn - self._turn > WINDOW * self._batch_size or self._bytes > MAX_WINDOW_BYTES:
                # All results wait for the oldest crop, so its batch runs although it is not full.
                self._finish(next(shape for shape, group in self._waiting.items() if group[0][0] == self._turn))
                yield from self._ready()
        self._finish_all()
        yield from self._ready()

    def _finish_all(self) -> None:
        for shape in list(self._waiting):
            self._finish(shape)

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
