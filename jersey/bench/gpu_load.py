"""Measures with `nvidia-smi` how busy a GPU is.

Its value is the fraction of its last sampling period, of up to a second, in which a kernel ran. Phases that are shorter
than the period cannot be distinguished.
"""

import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from shutil import which

INTERVAL_MS = 50  # shorter than the sampling period, so that no value of `nvidia-smi` is missed
QUERY = ("--id=0", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", f"--loop-ms={INTERVAL_MS}")


class GpuLoad:
    """Samples the first GPU of the machine; without `nvidia-smi` there are no samples.

    Attributes:
        samples: pairs of a time on the clock of `time.perf_counter`, in seconds, and the busy fraction.
    """

    def __init__(self) -> None:
        self.samples: list[tuple[float, float]] = []

    @contextmanager
    def sampled(self) -> Iterator[None]:
        """Samples while the body of the `with` statement runs."""
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
            if line.strip().isdigit():  # some GPUs report "[N/A]"
                self.samples.append((time.perf_counter(), int(line) / 100))

    def mean(self, spans_s: list[tuple[float, float]]) -> float | None:
        """Returns the mean busy fraction; None without samples.

        Args:
            spans_s: pairs of start and end on the clock of `time.perf_counter`; other samples are ignored.
        """
        inside = [load for at_s, load in self.samples if any(start <= at_s <= end for start, end in spans_s)]
        return statistics.fmean(inside) if inside else None
