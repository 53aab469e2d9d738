"""Does a run that was killed end as one that was not? Kills many, lets each go on, and compares what they leave.

    PYTHONPATH=tests python -m robustness.crash_resume RUN --kills=50 --set=trainer.epochs=2

The run of that folder is done once in peace. Then processes do it anew and get SIGKILL, the same run in all four ways
one after the other: at a random moment, when half of a checkpoint is written, just before a file takes its place
(tables, ONNX, checkpoints), and right after a call to Aim. Started once more it ends, and is compared: averaged and raw
weights of the last and of the best epoch, optimizer, schedule and counters; `metrics.csv`, `class_sampling.csv` and the test
predictions, byte for byte.

Inside of epochs a checkpoint is due after every second step here, so that many kills meet one.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from helpers.run_folders import run_again
from tqdm import tqdm

from jersey.core.console import set_up_console
from jersey.core.errors import UserError, exit_on_user_error
from jersey.lint.checks import load
from jersey.runs.aim import AimTracker
from jersey.runs.folder import BEST_CHECKPOINT, LAST_CHECKPOINT

KINDS = ("any moment", "before a file is in place", "in a checkpoint", "after a call to Aim")
TABLES = ("metrics.csv", "class_sampling.csv", "predictions_test.csv")
FACTS = "facts.json"

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["jersey.experiment", "aim", "onnxscript", "onnxruntime", "matplotlib.pyplot"])


def start(folder: Path, changes: Sequence[str], workdir: Path, run_name: str, kind: str, fatal_call: int) -> None:
    """Does a run in this process, or as far as it comes.

    Args:
        folder: of the run to do again.
        changes: as `--fdl_set`.
        workdir: the folder of all runs.
        run_name: of this one.
        kind: one of KINDS.
        fatal_call: which of the calls of that kind, counted from 1, is the last; 0 for none.
    """
    torch.set_num_threads(1)
    os.dup2(os.open(workdir / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    started_s, calls = time.perf_counter(), Counter[str]()
    _watch(calls, kind, fatal_call)
    run_again(folder, (*changes, "checkpoints.every_steps=2"), workdir, run_name)
    facts = {"seconds": time.perf_counter() - started_s, **calls}
    (workdir / FACTS).write_text(json.dumps(facts), encoding="utf-8")


def _watch(calls: Counter[str], kind: str, fatal_call: int) -> None:
    """Counts the calls of each kind, and ends the process in the fatal one."""

    def counted(this: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any, **settings: Any) -> Any:
            result = call(*arguments, **settings)
            calls[this] += 1
            if this == kind and calls[this] == fatal_call:
                if this == "in a checkpoint":
                    arguments[1].truncate(arguments[1].tell() // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return instead

    for owner, function, this in (
        (os, "fsync", "before a file is in place"),
        (torch, "save", "in a checkpoint"),
        (AimTracker, "_attempt", "after a call to Aim"),
    ):
        setattr(owner, function, counted(this, getattr(owner, function)))


def killed(arguments: tuple[Any, ...], kind: str, chance: random.Random, facts: dict[str, Any], share: float) -> bool:
    """Starts a run and kills it in the first `share` of what a whole one does; False if it had ended before."""
    # Not the very last calls: Aim's own threads make some of them, not always as many.
    fatal_call = 0 if kind == KINDS[0] else chance.randint(1, max(1, int(facts[kind] * 0.9 * share)))
    process = _processes.Process(target=start, args=(*arguments, kind, fatal_call))
    process.start()
    process.join(chance.uniform(0, facts["seconds"] * share) if not fatal_call else None)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def differences(left: Path, right: Path) -> list[str]:
    """What differs between two finished runs."""
    found = [name for name in TABLES if (left / name).read_bytes() != (right / name).read_bytes()]
    for name in (LAST_CHECKPOINT, BEST_CHECKPOINT):
        mine, other = (torch.load(folder / name, weights_only=True) for folder in (left, right))
        parts = ("global_step", "epoch", "state_dict", "current_model_state", "optimizer_states", "lr_schedulers")
        found += [f"{name}: {part}" for part in parts if not same(mine.get(part), other.get(part))]
    return found


def same(left: Any, right: Any) -> bool:
    """Whether two nests of containers, tensors and values are equal, bit for bit."""
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def measure(folder: Path, changes: Sequence[str], *, runs: int, seed: int) -> list[tuple[list[str], list[str]]]:
    """The kinds of kills that met a run before its end, and what differs at last, for each run."""
    workdir = Path(tempfile.mkdtemp(prefix="jersey-kills-"))  # stays: Aim hangs when its repository is deleted
    name, _ = load(folder)
    _finish((folder, changes, workdir, "whole"))
    facts = json.loads((workdir / FACTS).read_text(encoding="utf-8"))
    chance, rows = random.Random(seed), []
    for number in tqdm(range(runs), desc="kills", unit="run"):
        arguments = (folder, changes, workdir, f"killed-{number}")
        order = enumerate(chance.sample(KINDS, len(KINDS)), start=1)  # the first early, to leave something to the last
        met = [kind for turn, kind in order if killed(arguments, kind, chance, facts, turn / len(KINDS))]
        _finish(arguments)
        run = workdir / name / f"killed-{number}"
        rows.append((met, differences(run, workdir / name / "whole")))
        shutil.rmtree(run)
    return rows


def _finish(arguments: tuple[Any, ...]) -> None:
    process = _processes.Process(target=start, args=(*arguments, "", 0))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{arguments[-1]} ended with {process.exitcode}, see {arguments[2] / 'log.txt'}")


def main() -> None:
    """Prints what met each run and what differed, and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the run to do again")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="as --fdl_set of launch.py")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with exit_on_user_error():
        set_up_console()
        if options.kills < 1:
            raise UserError("--kills must be at least 1")
        runs = -(-options.kills // len(KINDS))
        rows = measure(options.folder, options.set, runs=runs, seed=options.seed)
    for number, (met, different) in enumerate(rows):
        print(f"run {number}, killed {', '.join(met)}: {', '.join(different) or 'equal'}")
    kills, equal = sum(len(met) for met, _ in rows), sum(not different for _, different in rows)
    print(json.dumps({"bench": "kills", "seed": options.seed, "kills": kills, "runs": len(rows), "equal": equal}))


if __name__ == "__main__":
    main()
