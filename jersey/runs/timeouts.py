"""Calls into a library that may never return: they happen in one thread, which is left behind when it hangs.

Only what lets other threads run meanwhile can be left so. The thread is a daemon, so that it does not keep the process.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class CallTimeout(TimeoutError):
    """A call has not returned in time, and never may."""


class TimeoutThread:
    """Makes calls one after the other, all in one thread.

    Args:
        limit_s: how long a call may take.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] | None = None

    def call(self, function: Callable[[], T]) -> T:
        """What the function returns or raises; OutOfPatience after the limit."""
        if self._calls is None:
            self._calls = SimpleQueue()
            threading.Thread(target=_work, args=(self._calls,), name="patient", daemon=True).start()
        future: Future[T] = Future()
        self._calls.put((future, function))
        try:
            return future.result(self._limit_s)
        except TimeoutError:
            if future.done():  # the function's own
                raise
            raise CallTimeout(f"no answer for {self._limit_s:g} s") from None

    def close(self) -> None:
        """Ends the thread after its last call; a later call starts another."""
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None


def _work(calls: "SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]") -> None:
    while (call := calls.get()) is not None:
        future, function = call
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)
        del call, future, function  # what they hold is not to live until the next call
