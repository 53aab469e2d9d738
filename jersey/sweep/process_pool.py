"""Processes, some at a time, that end with this one.

Each child leads a process group, so that what it starts itself can be stopped with it; Ctrl-C on a terminal then
reaches only the parent, which passes it on as SIGTERM. One thread polls: no locks, and signals are only noted.
"""

import logging
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

log = logging.getLogger(__name__)

POLL_S = 0.1
GRACE_S = 20.0
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """This process was told to stop, and its children have."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number  # as a shell would report it


@dataclass(frozen=True)
class Child:
    """A process to start; its output is added to the file `log`, or goes to the terminal."""

    command: tuple[str, ...]
    log: Path | None = None


def run_children(
    children: Sequence[Child], *, at_once: int, environment: Mapping[str, str]
) -> Generator[tuple[int, int | None], None, None]:
    """Runs all children, `at_once` at a time and in order; close it if it is not read to its end.

    Yields:
        The index of each child with None just before its start, and with its exit code when it has ended; a negative
        code is the signal that ended it.

    Raises:
        Stopped: a signal has come; no child is left.
    """
    waiting = deque(enumerate(children))
    running: dict[int, subprocess.Popen[bytes]] = {}
    with _noted_signals() as noted:
        try:
            while waiting or running:
                if noted:
                    raise Stopped(noted[0])
                if waiting and len(running) < at_once:
                    index, child = waiting.popleft()
                    yield index, None
                    running[index] = _start(child, environment)
                    continue
                ended = [index for index, process in running.items() if process.poll() is not None]
                for index in ended:
                    process = running.pop(index)
                    _signal_group(process, signal.SIGKILL)  # what it may have left behind
                    yield index, process.returncode
                if not ended:
                    time.sleep(POLL_S)
        finally:
            _stop(running.values(), noted)


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """Collects the signals that ask to stop; one that is ignored, as under nohup, stays so."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    before = {each: signal.getsignal(each) for each in STOPPING if signal.getsignal(each) is not signal.SIG_IGN}
    for each in before:
        signal.signal(each, note)
    try:
        yield noted
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _start(child: Child, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    if child.log is not None:
        child.log.parent.mkdir(parents=True, exist_ok=True)
    with child.log.open("ab") if child.log else nullcontext() as output:
        return subprocess.Popen(
            child.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, process_group=0
        )


def _stop(processes: Collection[subprocess.Popen[bytes]], noted: list[int]) -> None:
    """Ends all processes: politely, and by force after a while or when a second signal comes."""
    if not processes:
        return
    signals_before, deadline = len(noted), time.monotonic() + GRACE_S  # before the user is told of a second one
    log.info("stopping %d running; once more to kill", len(processes))
    for process in processes:
        _signal_group(process, signal.SIGTERM)
    while any(process.poll() is None for process in processes):
        if time.monotonic() > deadline or len(noted) > signals_before:
            break
        time.sleep(POLL_S)
    for process in processes:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # all gone; macOS says so with the second
        os.killpg(process.pid, number)
