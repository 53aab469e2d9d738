"""The real torchrun with the real `launch.py`, and the processes that belong to it."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from helpers.launched import LAUNCH
from helpers.several_processes import PROCESSES

MARK = "JERSEY_TEST_TORCHRUN"


class Torchrun:
    """A running `torchrun launch.py FLAGS` whose output is appended to a file."""

    def __init__(self, flags: Sequence[str], log: Path) -> None:
        mark, self._log = uuid.uuid4().hex, log
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={PROCESSES}", "--"]
        self._mark = f"{MARK}={mark}".encode()
        with log.open("ab") as output:
            self._launcher = subprocess.Popen(
                [*command, str(LAUNCH), *flags],
                cwd=log.parent,
                env=os.environ | {MARK: mark},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        return self._launcher.poll() is None

    def processes(self) -> dict[int, str]:
        """Returns all living processes that inherited the environment of this one, with their rank ("" without)."""
        found = {}
        for file in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                variables = file.read_bytes().split(b"\0")  # that of a zombie is empty
                if self._mark in variables:
                    ranks = [each[5:].decode() for each in variables if each.startswith(b"RANK=")]
                    found[int(file.parent.name)] = "".join(ranks)
        return found

    def kill(self, *ranks: int) -> None:
        """Kills these ranks by SIGKILL, or without any the launcher."""
        names = [str(each) for each in ranks]
        victims = [pid for pid, rank in self.processes().items() if rank in names] if ranks else [self._launcher.pid]
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def ended(self, *, timeout_s: float) -> int:
        """Waits for the end of torchrun, and returns its exit code; afterwards nothing of it may live on."""
        try:
            return self._launcher.wait(timeout_s)
        finally:
            self._launcher.kill()

    def orphans(self, *, timeout_s: float) -> list[int]:
        """Returns the processes that live on this long after torchrun has ended, and kills them."""
        deadline_s = time.monotonic() + timeout_s
        while (left := [*self.processes()]) and time.monotonic() < deadline_s:
            time.sleep(0.1)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8")
