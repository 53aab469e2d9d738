"""Measures with `nvidia-smi` how busy a GPU is, and its power.

It reports the fraction of its last sampling period, of up to a second, in which a kernel ran, and the power averaged
over a period of the driver. Phases that are shorter than the period cannot be distinguished.
"""

import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from shutil import which
from typing import NamedTuple

INTERVAL_MS = 50  # shorter than the sampling period, so that no value of `nvidia-smi` is missed
FIELDS = "--query-gpu=utilization.gpu,power.draw"
QUERY = ("--id=0", FIELDS, "--format=csv,noheader,nounits", f"--loop-ms={INTERVAL_MS}")


class Load(NamedTuple):
    """The load of a GPU; None for what it does not report.

    Attributes:
        busy: fraction of the time in which a kernel ran.
        watts: power.
    """

    busy: float | None
    watts: float | None


def parse(line: str) -> Load:
    """Parses a line of `nvidia-smi`, such as "37, 285.41"; some GPUs report "[N/A]" instead of a number."""
    numbers = [float(text) if text.replace(".", "", 1).isdigit() else None for text in line.strip().split(", ")]
    percent, watts = numbers if len(numbers) == 2 else (None, None)  # an error is a sentence
    return Load(None if percent is None else percent / 100, watts)


class GpuLoad:
    """Samples the first GPU of the machine; without `nvidia-smi` there are no samples.

    Attributes:
        samples: pairs of a time on the clock of `time.perf_counter`, in seconds, and the load.
    """

    def __init__(self) -> None:
        self.samples: list[tuple[float, Load]] = []

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
            self.samples.append((time.perf_counter(), parse(line)))

    def mean(self, spans_s: list[tuple[float, float]]) -> Load:
        """Returns the mean load; None for values without samples.

        Args:
            spans_s: pairs of start and end on the clock of `time.perf_counter`; other samples are ignored.
        """
        inside = [load for at_s, load in self.samples if any(start <= at_s <= end for start, end in spans_s)]
        busy = [load.busy for load in inside if load.busy is not None]
        watts = [load.watts for load in inside if load.watts is not None]
        return Load(*(statistics.fmean(values) if values else None for values in (busy, watts)))
