"""Measures how busy a GPU is with `nvidia-smi`.

It reports the fraction of its last sampling period (up to a second) in which a kernel ran, so short phases blur.
"""

import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from shutil import which

EVERY_MS = 50
QUERY = ("--id=0", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", f"--loop-ms={EVERY_MS}")


class GpuLoad:
    """Samples the first GPU of the machine; without `nvidia-smi` there are no samples."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, float]] = []  # time, and the busy fraction

    @contextmanager
    def sampled(self) -> Iterator[None]:
        """Samples while the body runs."""
        program = which("nvidia-smi")
        if program is None:
            yield
            return
        with subprocess.Popen([program, *QUERY], stdout=subprocess.PIPE, text=True) as process:
            reader = threading.Thread(target=self._read, args=(process,), daemon=True)
            reader.start()
            try:
                yield
            finally:
                process.terminate()
                reader.join()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip().isdigit():  # some GPUs report no load
                self.samples.append((time.perf_counter(), int(line) / 100))

    def mean(self, spans_s: list[tuple[float, float]]) -> float | None:
        """Returns the mean busy fraction in spans on the clock of `time.perf_counter`; None without samples."""
        inside = [load for at_s, load in self.samples if any(start <= at_s <= end for start, end in spans_s)]
        return statistics.fmean(inside) if inside else None
