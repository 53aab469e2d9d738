"""Calls that return, raise or hang, in a thread that ends when it is closed."""

import threading
from functools import partial

import pytest

from jersey.runs.timeouts import CallTimeout, TimeoutThread


def fail(error: Exception) -> None:
    raise error


def test_calls_run_in_one_thread_and_their_results_and_errors_are_passed_on() -> None:
    thread_with_timeout = TimeoutThread(30)
    threads = [thread_with_timeout.call(threading.get_ident) for _ in range(3)]
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
    for error in (KeyError("00"), TimeoutError("the lock is taken")):  # a call may raise a TimeoutError of its own
        with pytest.raises(type(error), match=str(error)):
            thread_with_timeout.call(partial(fail, error))
    thread_with_timeout.close()


@pytest.mark.timeout(20)
def test_call_that_hangs_is_abandoned() -> None:
    thread_with_timeout, never = TimeoutThread(0.05), threading.Event()
    for _ in range(2):
        with pytest.raises(CallTimeout):
            thread_with_timeout.call(never.wait)
    never.set()


def test_closing_ends_the_thread_and_a_later_call_starts_another() -> None:
    thread_with_timeout = TimeoutThread(30)
    for _ in range(2):
        thread = thread_with_timeout.call(threading.current_thread)
        thread_with_timeout.close()
        thread.join(10)
        assert not thread.is_alive()
    thread_with_timeout.close()
