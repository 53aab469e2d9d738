"""Bounds the time for which a crop waits for the rest of its batch, where crops come slowly: pipes, cameras, servers.

`FLUSH` is a mark in a stream of crops. At it, the results of all crops before it are computed.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Semaphore, Thread
from time import monotonic
from typing import Any, Final, TypeVar

from jersey.core.errors import UserError

T = TypeVar("T")


class Flush:
    """The type of `FLUSH`."""


FLUSH: Final = Flush()


class Finished(Exception):
    """A queue receives no more entries."""


@dataclass(frozen=True)
class End:
    """The last entry of a queue.

    Attributes:
        reason: exception that ended the input, or `Finished`.
    """

    reason: BaseException


def check_delay(max_delay_s: float) -> None:
    """Raises UserError if a delay is not a number of seconds from 0."""
    if not 0 <= max_delay_s < float("inf"):
        raise UserError(f"max_delay_s={max_delay_s} is not a delay; set it to seconds, such as 0.05, or to 0")


def paced(items: Iterable[T], *, max_delay_s: float, ahead: int) -> Iterator[T | Flush]:
    """Yields items, which a thread reads, and FLUSH before one has waited for longer than `max_delay_s`.

    Args:
        items: items, such as lines of a pipe or frames of a camera.
        max_delay_s: max seconds between an item and the next FLUSH, if the consumer keeps up.
        ahead: max number of items that are read before they are consumed.
    """
    queue: SimpleQueue[Any] = SimpleQueue()
    slots = Semaphore(ahead)
    is_closed = False

    def read() -> None:
        reason: BaseException = Finished()
        try:
            for item in items:
                slots.acquire()
                if is_closed:
                    return
                queue.put(item)
        except BaseException as error:  # the consumer raises it
            reason = error
        queue.put(End(reason))

    # A daemon, because it may wait for an item that never comes.
    Thread(target=read, name="read items", daemon=True).start()
    try:
        for item in from_queue(queue, max_delay_s=max_delay_s):
            if item is not FLUSH:
                slots.release()
            yield item
    finally:
        is_closed = True
        slots.release()


def from_queue(queue: SimpleQueue[Any], *, max_delay_s: float) -> Iterator[Any]:
    """Yields the entries of a queue until its End, and FLUSH before one has waited for longer than `max_delay_s`.

    With a delay of 0, each FLUSH follows all entries that have come while the consumer was busy.
    """
    with suppress(Finished):
        while True:
            yield _entry(queue, None)
            deadline_s = monotonic() + max_delay_s
            with suppress(Empty):
                while (wait_s := deadline_s - monotonic()) > 0:
                    yield _entry(queue, wait_s)
            for _ in range(queue.qsize()):  # so that a consumer that is late catches up with larger batches
                yield _entry(queue, None)
            yield FLUSH


def _entry(queue: SimpleQueue[Any], timeout_s: float | None) -> Any:
    entry = queue.get(timeout=timeout_s)
    if isinstance(entry, End):
        raise entry.reason
    return entry
