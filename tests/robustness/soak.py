"""Repeats a run in one process and measures its leaks: memory, open files, threads, child processes.

    PYTHONPATH=tests python -m robustness.soak runs/quickstart/RUN --set=trainer.limit_batches=4

The run of that folder is repeated in full: data, audit, training, test, export, report. Each repetition has a new
folder, which is removed afterwards, and all have one Aim repository. The first ones fill the caches of libraries, so
growth is measured from the fifth.

Memory is measured after Python's garbage collection and after glibc's allocator has returned free memory to the system
(`malloc_trim`). Otherwise it would be the peak of some earlier moment. Anonymous memory is the resident part that is
not backed by a file, so it excludes the mapped cache of crops.
"""

import ctypes
import gc
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from helpers.run_folders import repeating_parser, run_again

from jersey.bench.harness import machine
from jersey.core.console import set_up_console
from jersey.core.errors import UserError, exit_on_user_error

SETTLED = 5  # the run from which growth is measured


class Held(NamedTuple):
    """The resources of this process at one moment.

    Attributes:
        resident_mb: memory in RAM, mapped files included.
        anonymous_mb: the part of it that is not backed by a file.
        files: number of open files.
        threads: number of threads, including those that were not started by Python.
        children: number of child processes that run, or that were not waited for.
    """

    resident_mb: float
    anonymous_mb: float
    files: int
    threads: int
    children: int


def held() -> Held:
    """Measures the resources after all free memory has been returned."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    children = [path.read_text(encoding="utf-8").split() for path in Path("/proc/self/task").glob("*/children")]
    return Held(
        resident_mb=int(status["VmRSS"][0]) / 1024,
        anonymous_mb=int(status["RssAnon"][0]) / 1024,
        files=len(list(Path("/proc/self/fd").iterdir())) - 1,  # the folder itself is open while it is read
        threads=int(status["Threads"][0]),
        children=sum(map(len, children)),
    )


def soak(folder: Path, changes: Sequence[str], *, runs: int, workdir: Path) -> Iterator[Held]:
    """Repeats the run, and yields the resources after each repetition."""
    set_up_console()  # after the import of Lightning, which configures its own log
    for number in range(1, runs + 1):
        run = run_again(folder, changes, workdir, f"run-{number}")
        shutil.rmtree(run.path)  # some hundred MB each; only the Aim repository must stay
        del run  # releases its lock
        yield held()


def growth(found: Sequence[Held]) -> dict[str, float]:
    """Returns the growth since run SETTLED: of memory as a fraction, of all else as a difference."""
    settled, last = found[SETTLED - 1], found[-1]
    return {
        "resident": round(last.resident_mb / settled.resident_mb - 1, 4),
        "anonymous": round(last.anonymous_mb / settled.anonymous_mb - 1, 4),
        **{name: getattr(last, name) - getattr(settled, name) for name in ("files", "threads", "children")},
    }


def main() -> None:
    """Prints one row per run, and a line of JSON."""
    parser = repeating_parser(__doc__)
    parser.add_argument("--runs", type=int, default=30, help="number of repetitions, such as 10 (default: %(default)s)")
    options = parser.parse_args()
    with exit_on_user_error():
        if options.runs <= SETTLED:
            raise UserError(f"--runs must be more than {SETTLED}, because growth is measured from run {SETTLED}")
        # The folder is kept, because Aim hangs when its repository is deleted.
        workdir = Path(tempfile.mkdtemp(prefix="jersey-bench-"))
        found = []
        print(" ".join(f"{name:>12}" for name in Held._fields))
        for each in soak(options.folder, options.set, runs=options.runs, workdir=workdir):
            print(" ".join(f"{value:12.5g}" for value in each), flush=True)
            found.append(each)
    print(json.dumps({"bench": "soak", "machine": machine(), "runs": options.runs, "growth": growth(found)}))


if __name__ == "__main__":
    main()
