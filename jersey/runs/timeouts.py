"""Calls with a timeout to a library that may never return: they run in one thread, which is abandoned if it hangs.

This works only for calls that release the GIL. The thread is a daemon, so that it does not keep the process alive.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class CallTimeout(TimeoutError):
    """Raised when a call has not returned in time; it may never return."""


class TimeoutThread:
    """Runs calls one after the other in one thread.

    Args:
        limit_s: timeout of a call, in seconds.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] | None = None

    def call(self, function: Callable[[], T]) -> T:
        """Returns the result of a function without arguments, or raises its error, or CallTimeout after the limit."""
        if self._calls is None:
            self._calls = SimpleQueue()
            threading.Thread(target=_work, args=(self._calls,), name="timeout", daemon=True).start()
        future: Future[T] = Future()
        self._calls.put((future, function))
        try:
            return future.result(self._limit_s)
        except TimeoutError:
            if future.done():  # the function itself raised it
                raise
            raise CallTimeout(f"no response within {self._limit_s:g} s") from None

    def close(self) -> None:
        """Ends the thread after its last call; a later call starts another one."""
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
        del call, future, function  # otherwise their objects would live until the next call
