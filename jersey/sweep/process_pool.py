"""Runs child processes, a limited number at a time, and ends them with this process.

Each child leads a process group, so that its own children can be stopped with it. Ctrl-C on a terminal then reaches
only the parent, which sends SIGTERM to the groups. A single thread polls, and signal handlers only record the signal,
so no locks are needed.
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


def run_children(
    children: Sequence[Child], *, environments: Sequence[Mapping[str, str]]
) -> Generator[tuple[int, int | None], None, None]:
    """Runs all children in order; a caller that stops iterating must close the generator, which ends the children.

    Args:
        children: processes to start.
        environments: environment variables, one set for each concurrent process.

    Yields:
        The index of each child with None just before its start, and with its exit code after its end. A negative code
        is the number of the signal that ended the child.

    Raises:
        Stopped: a signal has arrived, and all children have ended.
    """
    waiting = deque(enumerate(children))
    running: dict[int, subprocess.Popen[bytes]] = {}
    free, used = list(reversed(environments)), dict[int, Mapping[str, str]]()
    with _recorded_signals() as recorded:
        try:
            while waiting or running:
                if recorded:
                    raise Stopped(recorded[0])
                if waiting and free:
                    index, child = waiting.popleft()
                    yield index, None
                    used[index] = free.pop()
                    running[index] = _start(child, used[index])
                    continue
                ended = [index for index, process in running.items() if process.poll() is not None]
                for index in ended:
                    process = running.pop(index)
                    _signal_group(process, signal.SIGKILL)  # processes that the child may have left behind
                    free.append(used.pop(index))
                    yield index, process.returncode
                if not ended:
                    time.sleep(POLL_S)
        finally:
            _stop(running.values(), recorded)


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
    with child.log.open("ab") if child.log else nullcontext() as output:
        return subprocess.Popen(
            child.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, process_group=0
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
