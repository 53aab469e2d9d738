"""Kills runs of two processes under torchrun, resumes them, and compares them with an uninterrupted run.

    PYTHONPATH=tests python -m robustness.torchrun_kills RUN --kills=20

The run of that folder is repeated once without a kill, by the real torchrun and `launch.py` on the CPU. Each further
run is killed by SIGKILL in all five ways, one after the other: rank zero, the other rank, both, torchrun itself, and
rank zero when half of a checkpoint is on the disk. After each kill all processes have to end by themselves and the lock
of the run has to be free. The same command then resumes the run. At its end it is compared as
`robustness.crash_resume` does, and Aim has to have exactly one run for it.
"""

import json
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch
from helpers.aim_repository import hashes_in
from helpers.run_folders import repeating_parser
from helpers.torchrun import Torchrun
from robustness.crash_resume import differences

from jersey.core.console import set_up_console
from jersey.core.errors import UserError, exit_on_user_error
from jersey.core.locks import is_locked
from jersey.lint.checks import load
from jersey.runs.folder import LAST_CHECKPOINT, LOCK, read_status

VICTIMS = {"rank 0": (0,), "rank 1": (1,), "both ranks": (0, 1), "torchrun": (), "rank 0 while it writes": (0,)}
"""The ranks that each kind of kill hits; none for the launcher."""
WRITING = "rank 0 while it writes"
LIMIT_S = 600.0  # of a whole run
GRACE_S = 60.0  # in which all processes have to end after a kill


class Kill(NamedTuple):
    """A kill that hit a run before its end.

    Attributes:
        kind: key of VICTIMS.
        where: part of the run.
        ended_s: time until the last process had ended.
    """

    kind: str
    where: str
    ended_s: float


class Killer:
    """Starts, kills and finishes the runs of one command.

    Args:
        folder: folder of the run to repeat.
        changes: overrides, as `--fdl_set` takes them.
        workdir: folder of all runs.
        rng: source of the moments.

    Attributes:
        seconds: duration of the uninterrupted run, from its folder to its end.
    """

    def __init__(self, folder: Path, changes: Sequence[str], workdir: Path, rng: random.Random) -> None:
        self.workdir, self.runs, self.rng = workdir, workdir / load(folder)[0], rng
        # Several processes agree on a checkpoint inside an epoch only every SYNC_STEPS steps.
        sets = [f"--fdl_set={each}" for each in (*changes, "checkpoints.every_steps=1", "trainer.accelerator=cpu")]
        self.flags = [f"--config={folder.absolute()}", *sets, f"--workdir={workdir}"]
        run, started_s = self._opened("whole"), time.monotonic()
        self.finish("whole", run)
        self.seconds = time.monotonic() - started_s

    def _opened(self, name: str) -> Torchrun:
        """Starts a run, and returns when it has opened its folder."""
        log = self.workdir / f"{name}.log"
        known = log.stat().st_size if log.exists() else 0
        run = Torchrun([*self.flags, f"--run={name}"], log)
        while run.is_running and b"run folder: " not in log.read_bytes()[known:]:
            time.sleep(0.05)
        return run

    def finish(self, name: str, run: Torchrun | None = None) -> None:
        """Runs to the end, which must be a good one."""
        run = run or self._opened(name)
        code = run.ended(timeout_s=LIMIT_S)
        if code or run.orphans(timeout_s=0):
            raise RuntimeError(f"{name} ended with {code}, or left processes behind, see {self.workdir / name}.log")

    def kill(self, name: str, kind: str) -> Kill | None:
        """Starts a run and kills it, perhaps too late; checks what is left, and returns the kill if it hit."""
        run = self._opened(name)
        if kind == WRITING:
            self._wait_for_write(run, self.runs / name / LAST_CHECKPOINT)
        else:
            time.sleep(self.rng.uniform(0, self.seconds / 3))  # each start goes on from what was saved
        run.kill(*VICTIMS[kind])
        killed_s = time.monotonic()
        code = run.ended(timeout_s=GRACE_S)
        if left := run.orphans(timeout_s=max(0.0, killed_s + GRACE_S - time.monotonic())):
            raise RuntimeError(f"{kind} of {name} was killed, and its processes {left} lived on")
        # A process that ends gives up its environment, by which it is found, before its files.
        while (is_held := is_locked(self.runs / name / LOCK)) and time.monotonic() < killed_s + GRACE_S:
            time.sleep(0.1)
        if is_held:
            raise RuntimeError(f"{kind} of {name} was killed, and its lock is held")
        return Kill(kind, self._where(name), time.monotonic() - killed_s) if code else None

    def _wait_for_write(self, run: Torchrun, checkpoint: Path) -> None:
        """Returns when a part of a checkpoint is on the disk, or the run has ended."""
        known = _unfinished(checkpoint.parent)  # left by earlier kills
        while run.is_running and not _unfinished(checkpoint.parent) - known:
            time.sleep(0.001)

    def _where(self, name: str) -> str:
        if read_status(self.runs / name)["stage"] != "fit":
            return "after the training"
        checkpoint = self.runs / name / LAST_CHECKPOINT
        if not checkpoint.exists():
            return "before a checkpoint"
        return f"after step {torch.load(checkpoint, map_location='meta', weights_only=True)['global_step']}"


def _unfinished(folder: Path) -> set[str]:
    """Returns the unfinished checkpoints in the folder that have some bytes."""
    found = set()
    for partial in folder.glob(".last.*.partial.ckpt"):
        with suppress(FileNotFoundError):
            if partial.stat().st_size:
                found.add(partial.name)
    return found


def measure(
    folder: Path, changes: Sequence[str], *, kills: int, seed: int, kinds: Sequence[str] = tuple(VICTIMS)
) -> list[tuple[list[Kill], list[str]]]:
    """Returns for each run the kills that hit it before its end, and the results that differ."""
    workdir = Path(tempfile.mkdtemp(prefix="jersey-kills-"))  # kept, because Aim hangs when its repository is deleted
    rng, rows = random.Random(seed), list[tuple[list[Kill], list[str]]]()
    killer = Killer(folder, changes, workdir, rng)
    while (missing := kills - sum(len(hits) for hits, _ in rows)) > 0:
        name, hits = f"killed-{len(rows)}", []
        for kind in rng.sample(kinds, min(len(kinds), missing)):
            if (hit := killer.kill(name, kind)) is None:  # the run is finished
                break
            print(f"{name}: {hit.kind} killed {hit.where}, all ended after {hit.ended_s:.1f} s", flush=True)
            hits.append(hit)
        killer.finish(name)
        run = killer.runs / name
        rows.append((hits, differences(run, killer.runs / "whole")))
        print(f"{name}: {', '.join(rows[-1][1]) or 'equal'}", flush=True)
        if len(hashes_in(workdir)) != len(rows) + 1 or (run / "aim_hash").read_text() not in hashes_in(workdir):
            raise RuntimeError(f"{name} does not have exactly one run in Aim")
        shutil.rmtree(run)
    return rows


def main() -> None:
    """Prints every kill, a table of the kinds, and a line of JSON."""
    parser = repeating_parser(__doc__)
    parser.add_argument("--kills", type=int, default=20, help="number of kills, such as 5 (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of their moments, such as 1 (default: %(default)s)")
    options = parser.parse_args()
    with exit_on_user_error():
        set_up_console()
        if options.kills < 1:
            raise UserError("--kills must be at least 1")
        rows = measure(options.folder, options.set, kills=options.kills, seed=options.seed)
    counts = Counter((hit.kind, not different) for hits, different in rows for hit in hits)
    for kind in VICTIMS:
        print(
            f"{kind:>24}: {counts[kind, True] + counts[kind, False]} kills, {counts[kind, True]} in runs that end equal"
        )
    equal = sum(not different for _, different in rows)
    summary = {"kills": sum(counts.values()), "runs": len(rows), "equal": equal, "seed": options.seed}
    print(json.dumps({"bench": "torchrun_kills", **summary}))


if __name__ == "__main__":
    main()
