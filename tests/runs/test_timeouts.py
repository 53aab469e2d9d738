"""Calls that return, fail or hang, in a thread that does not outlive its use."""

import threading

import pytest

from jersey.runs.timeouts import OutOfPatience, Patient


def test_calls_happen_in_order_in_one_thread_and_give_what_they_give() -> None:
    patient = Patient(30)
    threads = [patient.call(threading.get_ident) for _ in range(3)]
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()
    with pytest.raises(KeyError, match="00"):
        patient.call(lambda: {}["00"])
    patient.close()


@pytest.mark.timeout(20)
def test_a_call_that_hangs_is_left_behind() -> None:
    patient, never = Patient(0.05), threading.Event()
    for _ in range(2):
        with pytest.raises(OutOfPatience):
            patient.call(never.wait)
    never.set()


def test_a_call_may_run_out_of_its_own_time() -> None:
    def fail() -> None:
        raise TimeoutError("the lock is taken")

    with pytest.raises(TimeoutError, match="lock is taken"):
        Patient(30).call(fail)


def test_closing_ends_the_thread_and_a_later_call_starts_another() -> None:
    patient = Patient(30)
    for _ in range(2):
        thread = patient.call(threading.current_thread)
        patient.close()
        thread.join(10)
        assert not thread.is_alive()
    patient.close()
