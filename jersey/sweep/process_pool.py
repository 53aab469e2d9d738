"""Runs child processes, a limited number at a time, and ends them with this process.

Each child leads a process group, so that its own children can be stopped with it. Ctrl-C on a terminal then reaches
only the parent, which sends SIGTERM to the groups. A single thread polls, and signal handlers only record the signal,
so no locks are needed. A pool that is killed by SIGKILL cannot stop its children, so runs watch for it, see
`end_with_parent`.
"""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

from jersey.core.distributed import SWEEP_PID

log = logging.getLogger(__name__)

POLL_S = 0.1  # short against any run, and long enough to cost no CPU time
GRACE_S = 20.0  # time for a run to write its checkpoint before it is killed
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """A signal has asked this process to stop, and its children have ended."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number  # the exit code that a shell reports


@dataclass(frozen=True)
class Child:
    """A process to start.

    Attributes:
        command: its words.
        log: file to which its output is appended; None for the terminal.
    """

    command: tuple[str, ...]
    log: Path | None = None


class ProcessPool:
    """Runs child processes; use it as a context, whose end stops those that still run.

    Args:
        environments: environment variables, one set for each concurrent process.
    """

    def __init__(self, environments: Sequence[Mapping[str, str]]) -> None:
        self._free = list(reversed(environments))
        self._running: dict[int, tuple[subprocess.Popen[bytes], Mapping[str, str]]] = {}
        self._started = 0
        self._signals = ExitStack()

    def __enter__(self) -> Self:
        self._recorded = self._signals.enter_context(_recorded_signals())
        return self

    def __exit__(self, *exception: object) -> None:
        with self._signals:
            _stop([process for process, _ in self._running.values()], self._recorded)

    @property
    def has_room(self) -> bool:
        """Whether another process can be started."""
        return bool(self._free)

    @property
    def is_idle(self) -> bool:
        """Whether no process is running."""
        return not self._running

    def start(self, child: Child) -> int:
        """Starts a process, for which there must be room; returns its number, counted from 0.

        Raises:
            Stopped: a signal has arrived.
        """
        self._check_signals()
        environment, number = self._free.pop(), self._started
        self._running[number] = _start(child, environment), environment
        self._started += 1
        return number

    def terminate(self, number: int) -> None:
        """Asks a running process to end."""
        _signal_group(self._running[number][0], signal.SIGTERM)

    def ended(self) -> list[tuple[int, int]]:
        """Returns number and exit code of the processes that have ended; waits a moment if there are none.

        A negative code is the number of the signal that ended the process.

        Raises:
            Stopped: a signal has arrived.
        """
        self._check_signals()
        codes = {number: process.poll() for number, (process, _) in self._running.items()}
        ended = [(number, code) for number, code in codes.items() if code is not None]
        for number, _ in ended:
            process, environment = self._running.pop(number)
            _signal_group(process, signal.SIGKILL)  # processes that the child may have left behind
            self._free.append(environment)
        if not ended:
            time.sleep(POLL_S)
        return ended

    def _check_signals(self) -> None:
        if self._recorded:
            raise Stopped(self._recorded[0])


@contextmanager
def _recorded_signals() -> Iterator[list[int]]:
    """Records the signals that ask the process to stop; a signal that is ignored, as under nohup, stays ignored."""
    recorded: list[int] = []

    def record(number: int, frame: FrameType | None) -> None:
        recorded.append(number)

    before = {each: signal.getsignal(each) for each in STOPPING if signal.getsignal(each) is not signal.SIG_IGN}
    for each in before:
        signal.signal(each, record)
    try:
        yield recorded
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _start(child: Child, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    if child.log is not None:
        child.log.parent.mkdir(parents=True, exist_ok=True)
    variables = {**environment, SWEEP_PID: str(os.getpid())}
    with child.log.open("ab") if child.log else nullcontext() as output:
        return subprocess.Popen(
            child.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=variables, process_group=0
        )


def _stop(processes: Collection[subprocess.Popen[bytes]], recorded: list[int]) -> None:
    """Terminates all processes, and kills them after GRACE_S seconds or at a second signal."""
    if not processes:
        return
    # Signals are counted before the message, which invites a second one.
    signals_before, deadline = len(recorded), time.monotonic() + GRACE_S
    log.info("stopping %d running processes; a second signal kills them", len(processes))
    for process in processes:
        _signal_group(process, signal.SIGTERM)
    while any(process.poll() is None for process in processes):
        if time.monotonic() > deadline or len(recorded) > signals_before:
            break
        time.sleep(POLL_S)
    for process in processes:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # raised if the group has ended, the second on macOS
        os.killpg(process.pid, number)
