"""Replaces `launch.py` in the tests of sweeps: a run of milliseconds whose axis `task` selects its behavior.

    python stand_in.py FOLDER --fdl_set=module.task=... --fdl_set=seed=... --run=NAME

It records its start and end in FOLDER/diary.txt, as `start NAME PID` and `end NAME PID`.
"""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

BEST_EPOCH = 1


def finish(folder: Path, val: float, test: float = 0.5, f1: float = 0.25) -> None:
    """Writes the files of a finished run, in which another epoch than the best one has the highest metric."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        ("epoch", "step", "test/acc_top1", "test/f1_macro", "val/acc_top1"),
        ("0", "1", "", "", "0.125"),
        (str(BEST_EPOCH), "2", "", "", repr(val)),
        ("2", "3", "", "", "1.0"),
        ("2", "3", repr(test), repr(f1), ""),
    ]
    with (folder / "metrics.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (folder / "status.json").write_text(json.dumps({"stage": "finished", "best_epoch": BEST_EPOCH}))


def config_text(task: str, seed: str) -> str:
    return f"module.task = {task}\nseed = {seed}\n"


def note(parent: Path, words: str) -> None:
    with (parent / "diary.txt").open("a") as file:
        file.write(f"{words} {os.getpid()}\n")


def main() -> None:
    values = dict(flag.removeprefix("--fdl_set=").split("=", 1) for flag in sys.argv if flag.startswith("--fdl_set="))
    parent, name = Path(sys.argv[1]), sys.argv[-1].removeprefix("--run=")
    task, seed = values["module.task"], values["seed"]
    (parent / name).mkdir(exist_ok=True)
    (parent / name / "config.txt").write_text(config_text(task, seed))
    note(parent, f"start {name}")
    (parent / name / "gpus").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
    print(f"{name} has {os.environ.get('OMP_NUM_THREADS')} threads", flush=True)
    mended = (parent / "mended").exists()
    if task == "'fail'" and not mended:
        sys.exit(3)
    if task == "'die'" and not mended:
        os.kill(os.getpid(), signal.SIGKILL)
    if task in ("'hang'", "'stubborn'") and not mended:
        if task == "'stubborn'":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        helper = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
        (parent / name / "helper").write_text(str(helper.pid))
        note(parent, f"hangs {name}")
        time.sleep(600)
    if found := re.fullmatch(r"'meet(\d*)'", task):
        while (parent / "diary.txt").read_text().count("start ") < int(found[1] or 2):
            time.sleep(0.01)
    if task == "'slow'":  # trains worse than any other, and would not end
        (parent / name / "metrics.csv").write_text("epoch,step,val/acc_top1\n0,1,0.0\n1,2,0.0\n2,3,0.0\n")
        (parent / name / "status.json").write_text(json.dumps({"stage": "fit"}))
        time.sleep(600)
    if task == "'empty'":
        return
    finish(parent / name, val=float(seed) / 100)
    note(parent, f"end {name}")
    if task == "'crash_at_exit'":
        sys.exit(1)


if __name__ == "__main__":
    main()
