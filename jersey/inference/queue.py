"""Batches crops that come one by one from any threads or asyncio tasks, behind the scenes.

with PredictionQueue(predictor, max_delay_s=0.02) as queue:
    future = queue.submit(crop)              # from any thread
    prediction = await queue.predict(crop)   # in a coroutine
"""

import asyncio
from collections import deque
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock, Thread
from types import TracebackType
from typing import Any

from jersey.core.errors import UserError
from jersey.inference.crops import Crop
from jersey.inference.decision import Prediction
from jersey.inference.pacing import End, Finished, check_delay, from_queue
from jersey.inference.predictor import Predictor


class PredictionQueue:
    """Predicts crops in batches as they come; a batch runs when it is full, or when a crop has waited long enough.

    If crops come faster than the predictor is, batches grow up to its `batch_size`, and then the queue grows: await
    predictions before you submit more.

    Args:
        predictor: predictor, which other threads may use too.
        max_delay_s: max seconds for which a crop waits for others, in addition to the batch that is running. With 0, a
            batch is what has come while the one before it ran.

    Raises:
        UserError: the delay is out of range.
    """

    def __init__(self, predictor: Predictor, *, max_delay_s: float = 0.02) -> None:
        check_delay(max_delay_s)
        self._predictor = predictor
        self._max_delay_s = max_delay_s
        self._crops: SimpleQueue[Any] = SimpleQueue()
        self._futures: deque[Future[Prediction]] = deque()
        self._lock = Lock()  # keeps crops and futures in the same order
        self._is_closed = False
        self._worker = Thread(target=self._work, name="predict", daemon=True)
        self._worker.start()

    def submit(self, crop: Crop) -> Future[Prediction]:
        """Returns the future of the prediction for a crop as in `Predictor.predict`; it may hold a UserError.

        Raises:
            UserError: the queue is closed.
        """
        future: Future[Prediction] = Future()
        with self._lock:
            if self._is_closed:
                raise UserError("the queue is closed; submit crops before its close, or inside its `with` block")
            self._futures.append(future)
            self._crops.put(crop)
        return future

    async def predict(self, crop: Crop) -> Prediction:
        """Returns the prediction for a crop; raises UserError as `submit` and its future do."""
        return await asyncio.wrap_future(self.submit(crop))

    def close(self) -> None:
        """Waits until all submitted crops are predicted, and accepts no more."""
        with self._lock:
            self._is_closed = True
            self._crops.put(End(Finished()))
        self._worker.join()

    def __enter__(self) -> "PredictionQueue":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _work(self) -> None:
        try:
            for result in self._predictor.predict_all(from_queue(self._crops, max_delay_s=self._max_delay_s)):
                _resolve(self._futures.popleft(), result)
        except BaseException as error:  # a defect, which those who wait for a future shall see
            with self._lock:
                self._is_closed = True
            while self._futures:
                _resolve(self._futures.popleft(), error)


def _resolve(future: Future[Prediction], result: Prediction | BaseException) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
