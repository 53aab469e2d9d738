"""SIGTERM and SIGINT: the first asks the run to stop when it can, a second one ends it at once.

Spot machines and schedulers send SIGTERM some seconds before they take the machine, a person sends SIGINT by Ctrl-C. A
process that was stopped so ends with 143 or 130 (128 and the signal's number, as shells have it).
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
    """What has been asked for so far, and whether somebody listens who can stop at a better moment than now."""

    exit_code: int | None = None
    is_heard = False


def exit_code() -> int | None:
    """With what to end, if a signal has asked for it; else None."""
    return _Request.exit_code


@contextmanager
def handle_signals() -> Iterator[None]:
    """Around a run: a signal ends it with SystemExit, so that what is open gets closed."""
    before = {number: signal.signal(number, _asked) for number in SIGNALS}
    _Request.exit_code, _Request.is_heard = None, False
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def defer_stop() -> Iterator[None]:
    """Around a part of a run that asks for `exit_code` from time to time: there a signal ends nothing by itself."""
    _Request.is_heard = signal.getsignal(signal.SIGTERM) is _asked
    try:
        yield
    finally:
        _Request.is_heard = False


def reinstall_handlers() -> None:
    """From Lightning, whose own handlers talk to other processes from inside of a signal."""
    if _Request.is_heard:
        for number in SIGNALS:
            signal.signal(number, _asked)


def _asked(number: int, _: FrameType | None) -> None:
    code = 128 + number
    if _Request.exit_code is not None:
        os._exit(code)  # the second one
    _Request.exit_code = code
    if not _Request.is_heard:
        raise SystemExit(code)
    name = signal.Signals(number).name
    os.write(2, f"\n{name}: stops after this step, and keeps it; once more ends it at once\n".encode())
