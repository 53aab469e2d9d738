"""SIGTERM and SIGINT: the first signal asks the run to stop at the next opportunity, a second one ends it at once.

Spot machines and schedulers send SIGTERM some seconds before the machine goes away; Ctrl-C sends SIGINT. The exit code
of a stopped process is 143 or 130 (128 plus the number of the signal, as in shells).
"""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Request:
    """The state of this process.

    Attributes:
        exit_code: code that a signal has requested; None for no signal.
        is_deferred: whether the run looks at the code and stops by itself, after the current step.
    """

    exit_code: int | None = None
    is_deferred = False


def exit_code() -> int | None:
    """Returns the exit code that a signal has requested, or None."""
    return _Request.exit_code


@contextmanager
def handle_signals() -> Iterator[None]:
    """Makes a signal raise SystemExit in the enclosed run, so that resources are closed."""
    before = {number: signal.signal(number, _handle) for number in SIGNALS}
    _Request.exit_code, _Request.is_deferred = None, False
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def defer_stop() -> Iterator[None]:
    """Makes a signal only set `exit_code` in the enclosed part of a run, which checks it from time to time."""
    _Request.is_deferred = signal.getsignal(signal.SIGTERM) is _handle
    try:
        yield
    finally:
        _Request.is_deferred = False


def reinstall_handlers() -> None:
    """Replaces the handlers of Lightning, which communicate with other processes inside a signal handler."""
    if _Request.is_deferred:
        for number in SIGNALS:
            signal.signal(number, _handle)


def _handle(number: int, _: FrameType | None) -> None:
    code = 128 + number
    if _Request.exit_code is not None:
        os._exit(code)  # this is the second signal
    _Request.exit_code = code
    if not _Request.is_deferred:
        raise SystemExit(code)
    name = signal.Signals(number).name
    os.write(2, f"\n{name}: the run stops after this step and saves it; a second signal ends it at once\n".encode())
