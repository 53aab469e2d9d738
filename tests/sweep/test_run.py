"""Sweeps of a stand-in for `launch.py` in real processes: what runs, resumes, fails and stops at a signal."""

import csv
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from helpers import stand_in, sweep_process
from helpers.repository import REPOSITORY
from helpers.sweep_process import diary, runs_of

from jersey.core.errors import UserError
from jersey.sweep.run import run_sweep


def table_of(parent: Path) -> list[dict[str, str]]:
    (file,) = parent.glob("*.csv")
    with file.open(newline="") as rows:
        return list(csv.DictReader(rows))


def test_every_point_runs_once_in_order_and_a_repeated_sweep_only_prints(
    parent: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = ["task=a,seed=90", "task=a,seed=94", "task=b,seed=90", "task=b,seed=94"]
    assert run_sweep(runs_of(parent, ["a", "b"], [90, 94]), jobs=1) == 0
    assert diary(parent, "start") == names
    assert [path.name for path in sorted(parent.iterdir()) if path.is_dir()] == names
    first = capfd.readouterr().out
    table = first[first.index("task ") :]

    assert run_sweep(runs_of(parent, ["a", "b"], [90, 94]), jobs=2) == 0
    assert diary(parent, "start") == names
    assert capfd.readouterr().out == table
    assert [(row["run"], row["seed"], row["val/acc_top1"]) for row in table_of(parent)] == [
        (name, name[-2:], f"0.{name[-2:].rstrip('0')}") for name in names
    ]

    run_sweep(runs_of(parent, ["a"], [90, 97]), jobs=1)  # another sweep has its own table
    assert diary(parent, "start") == [*names, "task=a,seed=97"]
    texts = [file.read_text(encoding="utf-8") for file in parent.glob("*.txt") if file.name != "diary.txt"]
    assert len(texts) == len(list(parent.glob("*.csv"))) == 2
    printed = table + capfd.readouterr().out
    assert all(text in printed for text in texts)


@pytest.mark.parametrize(
    ("task", "cause"), [("fail", "exit code 3"), ("die", "killed by SIGKILL"), ("empty", "no metrics were written")]
)
def test_a_failed_run_stops_no_other_and_a_repeated_sweep_retries_it(
    parent: Path, capfd: pytest.CaptureFixture[str], task: str, cause: str
) -> None:
    tasks = ["a", task, "b"]
    assert run_sweep(runs_of(parent, tasks, [90]), jobs=2) == 1
    name = f"task={task},seed=90"
    assert sorted(diary(parent, "start")) == sorted(["task=a,seed=90", name, "task=b,seed=90"])
    (sentence,) = [line for line in capfd.readouterr().out.splitlines() if line.startswith("failed: ")]
    assert f"task='{task}', seed=90: " in sentence
    assert cause in sentence
    log = Path(sentence.split()[-1])
    assert log.read_text().startswith(name)
    assert [row["state"] for row in table_of(parent)] == ["finished", "failed", "finished"]

    if task != "empty":
        (parent / "mended").touch()
        assert run_sweep(runs_of(parent, tasks, [90]), jobs=2) == 0
        assert diary(parent, "start")[3:] == [name]
        assert [row["state"] for row in table_of(parent)] == ["finished"] * 3
        assert log.read_text().count(name) == 2


def test_as_many_runs_are_concurrent_as_requested(parent: Path) -> None:
    """The first two runs of `meet` wait for each other, so a sequential sweep would never end."""
    assert run_sweep(runs_of(parent, ["meet"], [1, 2, 3, 4, 5]), jobs=2) == 0
    running, maximum = 0, 0
    for line in (parent / "diary.txt").read_text().splitlines():
        running += {"start": 1, "end": -1}[line.split()[0]]
        maximum = max(maximum, running)
    assert maximum == 2


def test_output_goes_to_the_terminal_with_one_job_and_to_files_with_several(
    parent: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    run_sweep(runs_of(parent, ["a"], [1]), jobs=1)
    assert "task=a,seed=1 has None threads\n" in capfd.readouterr().out
    assert not list(parent.glob("*/console.log"))

    run_sweep(runs_of(parent, ["a"], [2, 3]), jobs=2)
    threads = max(1, (os.cpu_count() or 1) // 2)
    assert "threads" not in capfd.readouterr().out
    assert (parent / "task=a,seed=3" / "console.log").read_text() == f"task=a,seed=3 has {threads} threads\n"

    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    run_sweep(runs_of(parent, ["b"], [2, 3]), jobs=2)
    assert (parent / "task=b,seed=3" / "console.log").read_text() == "task=b,seed=3 has 7 threads\n"


def test_sixteen_jobs_share_eight_gpus_equally_and_say_so(
    parent: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gpus = [f"GPU-{index}" for index in range(8)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(gpus))
    runs = runs_of(parent, ["meet16"], list(range(16)))
    assert run_sweep(runs, jobs=16) == 0
    assert Counter((run.folder / "gpus").read_text() for run in runs) == dict.fromkeys(gpus, 2)
    assert "16 jobs share 8 GPUs" in caplog.text


@pytest.mark.parametrize(
    ("visible", "jobs", "expected"),
    [
        ("3, GPU-a1", 2, {"3", "GPU-a1"}),
        ("3,GPU-a1,5", 2, {"3", "GPU-a1"}),
        ("3", 2, {"3"}),
        ("", 2, {""}),
        ("3,4", 1, {"3,4"}),
    ],
)
def test_concurrent_runs_take_the_gpus_in_turn(
    parent: Path, monkeypatch: pytest.MonkeyPatch, visible: str, jobs: int, expected: set[str]
) -> None:
    """The runs only write which GPUs they may use, so none is needed; two that are concurrent wait for each other."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    runs = runs_of(parent, ["meet" if jobs > 1 else "a"], [1, 2])
    assert run_sweep(runs, jobs=jobs) == 0
    assert {(run.folder / "gpus").read_text() for run in runs} == expected


def test_progress_counts_all_runs_and_a_crash_at_exit_keeps_the_result(
    parent: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in.finish(parent / "task=crash_at_exit,seed=1", val=0.5)
    with caplog.at_level(logging.INFO, logger="jersey"):
        assert run_sweep(runs_of(parent, ["crash_at_exit"], [1, 2, 3]), jobs=1) == 0
    for message, pattern in zip(
        caplog.messages,
        [
            "3 runs, 1 of them already finished",
            "run 2 of 3 starts: task='crash_at_exit', seed=2",
            r"run 2 of 3 ends after 0\.\d min: task='crash_at_exit', seed=2: test top-1 50\.0 %; 1 left, about \d min",
            "run 3 of 3 starts: task='crash_at_exit', seed=3",
            r"run 3 of 3 ends after 0\.\d min: task='crash_at_exit', seed=3: test top-1 50\.0 %",
        ],
        strict=True,
    ):
        assert re.fullmatch(pattern, message), message


def test_a_folder_that_cannot_be_created_raises_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--workdir"):
        run_sweep(runs_of(tmp_path / "file" / "exp", ["a"], [1]), jobs=1)


def start(parent: Path, jobs: int, tasks: str, seeds: str) -> subprocess.Popen[str]:
    command = [sys.executable, sweep_process.__file__, str(parent), str(jobs), tasks, seeds]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY / "tests")},
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),  # a shell ignores it for background jobs
    )


def wait_until_hanging(parent: Path, count: int) -> list[int]:
    """Returns the process ids of the hanging runs and of their helpers."""
    deadline = time.monotonic() + 60
    while len(diary(parent, "hangs")) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    lines = [line.split() for line in (parent / "diary.txt").read_text().splitlines()]
    return [
        each
        for kind, name, pid in lines
        if kind == "hangs"
        for each in (int(pid), int((parent / name / "helper").read_text()))
    ]


def alive(pids: list[int]) -> list[int]:
    """Returns the ids of running processes; an ended process may still be listed as a zombie."""
    command = ["ps", "-o", "pid=,stat=", "-p", ",".join(map(str, pids))]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if not line.split()[1].startswith("Z")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_all_runs_and_the_same_command_resumes(parent: Path, number: signal.Signals) -> None:
    process = start(parent, 3, "a,hang", "90,91")
    pids = wait_until_hanging(parent, 2)
    assert sorted(alive(pids)) == sorted(pids)
    process.send_signal(number)
    out, err = process.communicate(timeout=150)
    assert process.returncode == 128 + number, err
    assert alive(pids) == []
    assert out == ""
    assert err.strip().splitlines()[-1].startswith(f"stopped by {number.name}; 2 of 4 runs are finished")

    (parent / "mended").touch()
    again = start(parent, 1, "a,hang", "90,91")
    out, err = again.communicate(timeout=150)
    assert again.returncode == 0, err
    assert diary(parent, "start")[4:] == ["task=hang,seed=90", "task=hang,seed=91"]
    assert "task='hang'" not in out
    assert "'hang'" in out


def test_a_second_signal_kills_runs_that_ignore_the_first(parent: Path) -> None:
    process = start(parent, 1, "stubborn,a", "90")
    pids = wait_until_hanging(parent, 1)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "stopping" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=15)  # less than GRACE_S
    assert process.returncode == 128 + signal.SIGINT
    assert alive(pids) == []
    assert diary(parent, "start") == ["task=stubborn,seed=90"]
