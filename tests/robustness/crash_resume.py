"""Kills runs at many moments, resumes them, and compares their results with those of an uninterrupted run.

    PYTHONPATH=tests python -m robustness.crash_resume RUN --kills=50 --set=trainer.epochs=2

The run of that folder is repeated once without a kill. Then each further run is killed by SIGKILL in all four ways, one
after the other: at a random moment, when half of a checkpoint is written, just before a file is in place (tables, ONNX,
checkpoints), and right after a call to Aim. It is resumed after each kill, and finally compared: EMA and raw weights of
the last and of the best epoch, optimizer, schedule and counters, and the bytes of `metrics.csv`, `class_sampling.csv`
and the test predictions. A checkpoint is written after every second step, so that many kills hit one.
"""

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
from helpers.run_folders import repeating_parser, run_again
from tqdm import tqdm

from jersey.core.console import set_up_console
from jersey.core.errors import UserError, exit_on_user_error
from jersey.lint.checks import load
from jersey.runs.aim import AimTracker
from jersey.runs.folder import BEST_CHECKPOINT, LAST_CHECKPOINT

KINDS = ("any moment", "before a file is in place", "while a checkpoint is written", "after a call to Aim")
TABLES = ("metrics.csv", "class_sampling.csv", "predictions_test.csv")
SUMMARY = "summary.json"

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["jersey.experiment", "aim", "onnxscript", "onnxruntime", "matplotlib.pyplot"])


def start(folder: Path, changes: Sequence[str], workdir: Path, run_name: str, kind: str, fatal_call: int) -> None:
    """Runs in this process until the end or the fatal call.

    Args:
        folder: folder of the run to repeat.
        changes: overrides, as `--fdl_set` takes them.
        workdir: folder of all runs.
        run_name: name of this run.
        kind: one of KINDS.
        fatal_call: position, from 1, of the call of that kind that ends the process; 0 for none.
    """
    torch.set_num_threads(1)
    os.dup2(os.open(workdir / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    started_s, calls = time.perf_counter(), Counter[str]()
    _watch(calls, kind, fatal_call)
    run_again(folder, (*changes, "checkpoints.every_steps=2"), workdir, run_name)
    summary = {"seconds": time.perf_counter() - started_s, **calls}
    (workdir / SUMMARY).write_text(json.dumps(summary), encoding="utf-8")


def _watch(calls: Counter[str], kind: str, fatal_call: int) -> None:
    """Counts the calls of each kind, and kills the process in the fatal one."""

    def counted(this: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def call_and_count(*arguments: Any, **settings: Any) -> Any:
            result = call(*arguments, **settings)
            calls[this] += 1
            if this == kind and calls[this] == fatal_call:
                if this == "while a checkpoint is written":
                    arguments[1].truncate(arguments[1].tell() // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call_and_count

    for owner, function, this in (
        (os, "fsync", "before a file is in place"),
        (torch, "save", "while a checkpoint is written"),
        (AimTracker, "_attempt", "after a call to Aim"),
    ):
        setattr(owner, function, counted(this, getattr(owner, function)))


def killed(arguments: tuple[Any, ...], kind: str, rng: random.Random, summary: dict[str, Any], frac: float) -> bool:
    """Starts a run and kills it within the first `frac` of a whole run; returns False if the run ended first."""
    # The last calls are left out, because Aim's own threads make a varying number of them.
    fatal_call = 0 if kind == KINDS[0] else rng.randint(1, max(1, int(summary[kind] * 0.9 * frac)))
    process = _processes.Process(target=start, args=(*arguments, kind, fatal_call))
    process.start()
    process.join(rng.uniform(0, summary["seconds"] * frac) if not fatal_call else None)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def differences(left: Path, right: Path) -> list[str]:
    """Returns the names of the results that differ between two finished runs."""
    found = [name for name in TABLES if (left / name).read_bytes() != (right / name).read_bytes()]
    for name in (LAST_CHECKPOINT, BEST_CHECKPOINT):
        mine, other = (torch.load(folder / name, weights_only=True) for folder in (left, right))
        parts = ("global_step", "epoch", "state_dict", "current_model_state", "optimizer_states", "lr_schedulers")
        found += [f"{name}: {part}" for part in parts if not same(mine.get(part), other.get(part))]
    return found


def same(left: Any, right: Any) -> bool:
    """Returns whether two nested containers of tensors and values are equal, bit for bit."""
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def measure(folder: Path, changes: Sequence[str], *, runs: int, seed: int) -> list[tuple[list[str], list[str]]]:
    """Returns for each run the kinds of kills that hit it before its end, and the results that differ."""
    workdir = Path(tempfile.mkdtemp(prefix="jersey-kills-"))  # kept, because Aim hangs when its repository is deleted
    name, _ = load(folder)
    finish((folder, changes, workdir, "whole"))
    summary = json.loads((workdir / SUMMARY).read_text(encoding="utf-8"))
    rng, rows = random.Random(seed), []
    for number in tqdm(range(runs), desc="kills", unit="run"):
        arguments = (folder, changes, workdir, f"killed-{number}")
        hits = []
        for turn, kind in enumerate(rng.sample(KINDS, len(KINDS)), start=1):
            # The first kills are early ones, so that every later kill finds work left.
            if killed(arguments, kind, rng, summary, turn / len(KINDS)):
                hits.append(kind)
        finish(arguments)
        run = workdir / name / f"killed-{number}"
        rows.append((hits, differences(run, workdir / name / "whole")))
        shutil.rmtree(run)
    return rows


def finish(arguments: tuple[Any, ...]) -> None:
    """Runs to the end in a new process; the arguments are those of `start` without a kill."""
    code = exit_code((*arguments, "", 0))
    if code:
        raise RuntimeError(f"{arguments[-1]} ended with {code}, see {arguments[2] / 'log.txt'}")


def exit_code(arguments: tuple[Any, ...]) -> int | None:
    """Calls `start` in a new process, and returns its exit code."""
    process = _processes.Process(target=start, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def main() -> None:
    """Prints the kills and the differences of each run, and a line of JSON."""
    parser = repeating_parser(__doc__)
    parser.add_argument("--kills", type=int, default=50, help="number of kills, such as 8 (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the moments of the kills, such as 1 (default: %(default)s)"
    )
    options = parser.parse_args()
    with exit_on_user_error():
        set_up_console()
        if options.kills < 1:
            raise UserError("--kills must be at least 1")
        runs = -(-options.kills // len(KINDS))
        rows = measure(options.folder, options.set, runs=runs, seed=options.seed)
    for number, (hits, different) in enumerate(rows):
        print(f"run {number}, killed {', '.join(hits)}: {', '.join(different) or 'equal'}")
    kills, equal = sum(len(hits) for hits, _ in rows), sum(not different for _, different in rows)
    summary = {"bench": "crash_resume", "seed": options.seed, "kills": kills, "runs": len(rows), "equal": equal}
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
