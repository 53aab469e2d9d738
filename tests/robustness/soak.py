"""Many whole runs in one process, and what each leaves behind: memory, open files, threads, child processes.

    PYTHONPATH=tests python -m robustness.soak runs/quickstart/RUN --set=trainer.limit_batches=4

Does the run of that folder again and again, each in a new folder, removed after it, beside one Aim
repository, in full: data, audit,
training, test, export, report. The first few fill what libraries keep for good, so growth counts from the fifth.

Memory is what the process holds after Python's collector has run and glibc's allocator has given back what is free
(`malloc_trim`): without those two it is as much as some earlier moment needed. Anonymous memory is the resident part
that no file backs, so that a mapped cache of crops is left out.
"""

import argparse
import ctypes
import gc
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from helpers.run_folders import run_again

from jersey.bench.harness import machine
from jersey.core.console import set_up_console
from jersey.core.errors import UserError, exit_on_user_error

SETTLED = 5
"""The run from which growth counts."""


class Held(NamedTuple):
    """What this process holds at a moment."""

    resident_mb: float
    """Memory in RAM, mapped files included."""
    anonymous_mb: float
    files: int
    threads: int
    """Also those that Python does not know."""
    children: int
    """Processes it has started that still run, or that nobody has waited for."""


def held() -> Held:
    """After everything that is free has been given back."""
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
    """Does the run so many times; what is held after each."""
    set_up_console()  # after the import of Lightning, which sets up its own
    for number in range(1, runs + 1):
        run = run_again(folder, changes, workdir, f"run-{number}")
        shutil.rmtree(run.path)  # some hundred MB each; only the repository has to stay
        del run  # gives up its lock
        yield held()


def growth(found: Sequence[Held]) -> dict[str, float]:
    """From the run at which all has settled to the last: memory as a share of what it was, all else as a difference."""
    settled, last = found[SETTLED - 1], found[-1]
    return {
        "resident": round(last.resident_mb / settled.resident_mb - 1, 4),
        "anonymous": round(last.anonymous_mb / settled.anonymous_mb - 1, 4),
        **{name: getattr(last, name) - getattr(settled, name) for name in ("files", "threads", "children")},
    }


def main() -> None:
    """Prints a row a run, and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the run to do again")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="as --fdl_set of launch.py")
    parser.add_argument("--runs", type=int, default=30)
    options = parser.parse_args()
    with exit_on_user_error():
        if options.runs <= SETTLED:
            raise UserError(f"--runs must be more than {SETTLED}, from which growth counts")
        workdir = Path(tempfile.mkdtemp(prefix="jersey-bench-"))  # stays: Aim hangs when its repository is deleted
        found = []
        print(" ".join(f"{name:>12}" for name in Held._fields))
        for each in soak(options.folder, options.set, runs=options.runs, workdir=workdir):
            print(" ".join(f"{value:12.5g}" for value in each), flush=True)
            found.append(each)
    print(json.dumps({"bench": "soak", "machine": machine(), "runs": options.runs, "growth": growth(found)}))


if __name__ == "__main__":
    main()
