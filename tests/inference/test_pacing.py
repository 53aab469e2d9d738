"""A mark follows each item in time, whatever the input does, and the input's thread ends with its consumer."""

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from jersey.inference.pacing import FLUSH, End, Finished, from_queue, paced

PATIENCE_S = 60


def test_items_keep_their_order_and_a_mark_follows_the_last() -> None:
    found = list(paced(range(500), max_delay_s=0.001, ahead=7))
    assert [item for item in found if item is not FLUSH] == list(range(500))
    assert list(paced([], max_delay_s=1, ahead=1)) == []


def test_a_mark_comes_while_the_input_waits() -> None:
    go_on = threading.Event()

    def slow() -> Iterator[int]:
        yield 1
        assert go_on.wait(PATIENCE_S)
        yield 2

    items = paced(slow(), max_delay_s=0.001, ahead=9)
    assert [next(items), next(items)] == [1, FLUSH]
    go_on.set()
    assert next(items) == 2


def test_a_busy_input_does_not_delay_the_mark() -> None:
    def busy() -> Iterator[int]:
        yield from iter(int, 1)

    items = paced(busy(), max_delay_s=0.05, ahead=4)
    started_s = time.monotonic()
    while next(items) is not FLUSH:
        assert time.monotonic() - started_s < PATIENCE_S


def test_without_a_delay_the_items_that_came_meanwhile_share_a_mark() -> None:
    queue: SimpleQueue[Any] = SimpleQueue()
    for item in range(5):
        queue.put(item)
    items = from_queue(queue, max_delay_s=0)
    assert [next(items) for _ in range(6)] == [0, 1, 2, 3, 4, FLUSH]
    queue.put(5)
    queue.put(End(Finished()))
    assert list(items) == [5]


def test_an_input_that_does_not_pause_is_read_without_waiting_for_a_mark() -> None:
    started_s = time.monotonic()
    assert list(paced(range(100), max_delay_s=PATIENCE_S, ahead=3)) == list(range(100))
    assert time.monotonic() - started_s < PATIENCE_S


def test_a_process_ends_although_its_input_waits_forever() -> None:
    program = """
        import threading
        from jersey.inference.pacing import paced
        def waiting():
            yield 1
            threading.Event().wait()
        print(next(paced(waiting(), max_delay_s=0, ahead=2)))
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, timeout=PATIENCE_S)
    assert (ended.returncode, ended.stdout) == (0, b"1\n")


@pytest.mark.parametrize("error", [OSError("camera lost"), EOFError(), StopAsyncIteration()])
def test_an_error_of_the_input_reaches_the_consumer(error: Exception) -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise error

    items = paced(failing(), max_delay_s=0.001, ahead=2)
    with pytest.raises(type(error)):
        list(items)


def test_few_items_are_read_ahead_and_closing_ends_the_thread() -> None:
    before = set(threading.enumerate())
    taken: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            taken.append(1)
            yield 0

    items = paced(endless(), max_delay_s=0, ahead=3)
    next(items)
    (thread,) = set(threading.enumerate()) - before
    time.sleep(0.05)
    assert len(taken) <= 5
    consumed = 1 + sum(next(items) is not FLUSH for _ in range(50))  # a mark makes no room for an item
    time.sleep(0.05)
    assert len(taken) <= consumed + 4
    items.close()  # type: ignore[attr-defined]
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
