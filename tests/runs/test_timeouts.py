"""Calls that return, fail or hang, in a thread that does not outlive its use."""

import threading
from functools import partial

import pytest

from jersey.runs.timeouts import CallTimeout, TimeoutThread


def fail(error: Exception) -> None:
    raise error


def test_calls_happen_in_order_in_one_thread_and_give_what_they_give() -> None:
    patient = TimeoutThread(30)
    threads = [patient.call(threading.get_ident) for _ in range(3)]
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
    for error in (KeyError("00"), TimeoutError("the lock is taken")):  # a call may run out of its own time, too
        with pytest.raises(type(error), match=str(error)):
            patient.call(partial(fail, error))
    patient.close()


@pytest.mark.timeout(20)
def test_a_call_that_hangs_is_left_behind() -> None:
    patient, never = TimeoutThread(0.05), threading.Event()
    for _ in range(2):
        with pytest.raises(CallTimeout):
            patient.call(never.wait)
    never.set()


def test_closing_ends_the_thread_and_a_later_call_starts_another() -> None:
    patient = TimeoutThread(30)
    for _ in range(2):
        thread = patient.call(threading.current_thread)
        patient.close()
        thread.join(10)
        assert not thread.is_alive()
    patient.close()
