"""Searches of a stand-in for `launch.py` in real processes: what is shared, retried, pruned, refused and written."""

import csv
import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import search_process
from helpers.repository import REPOSITORY
from helpers.search_process import search, study_of
from helpers.sweep_process import diary
from PIL import Image

from jersey.core.errors import UserError
from jersey.sweep.plan import Assignment, Point


def table_of(parent: Path) -> list[dict[str, str]]:
    (file,) = parent.glob("*.search/trials.csv")
    with file.open(newline="") as rows:
        return list(csv.DictReader(rows))


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def start(parent: Path, *, jobs: int, trials: int, tasks: str) -> "subprocess.Popen[str]":
    words = [sys.executable, search_process.__file__, str(parent), str(jobs), str(trials), tasks]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_best_is_first_and_more_trials_continue_the_study(parent: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert search(study_of(parent, trials=4)) == 0
    rows = table_of(parent)
    assert sorted(row["run"] for row in rows) == sorted(diary(parent, "start")) == [f"try-00{n}" for n in range(4)]
    scores = [float(row["val/acc_top1"]) for row in rows]
    assert scores == sorted((int(row["seed"]) / 100 for row in rows), reverse=True)
    out = capfd.readouterr().out
    assert f"--config={parent / rows[0]['run']}\n" in out
    assert rows[0]["val/acc_top1"] == "0." + rows[0]["seed"].zfill(2).rstrip("0")
    assert Image.open(parent / "try.search" / "trials.png").width > 300

    assert search(study_of(parent, trials=12), jobs=2) == 0
    assert diary(parent, "start")[:4] == [f"try-00{n}" for n in range(4)]
    assert len(set(diary(parent, "start"))) == len(diary(parent, "start")) == len(table_of(parent)) == 12
    assert len({row["seed"] for row in table_of(parent)}) == 12
    assert "importance: seed " in capfd.readouterr().out
    assert search(study_of(parent, trials=12)) == 0
    assert len(diary(parent, "start")) == 12


@pytest.mark.slow
def test_two_processes_share_a_study_and_a_killed_one_loses_nothing(parent: Path) -> None:
    first, second = (start(parent, jobs=1, trials=12, tasks="hang") for _ in range(2))
    wait_until(lambda: len(diary(parent, "hangs")) == 2)
    first.send_signal(signal.SIGKILL)
    first.wait()
    (parent / "mended").touch()
    for _, pid in (line.split()[1:] for line in (parent / "diary.txt").read_text().splitlines() if "hangs" in line):
        os.killpg(int(pid), signal.SIGKILL)  # one run was orphaned, the other belongs to the second process
    again = start(parent, jobs=1, trials=12, tasks="hang")
    outputs = [process.communicate(timeout=120) for process in (second, again)]
    assert [second.returncode, again.returncode] == [0, 0], outputs
    rows = table_of(parent)
    assert [row["state"] for row in rows] == ["finished"] * 12
    starts = Counter(diary(parent, "start"))
    assert sorted(starts) == sorted(row["run"] for row in rows)
    assert sorted(starts.values()) == [1] * 10 + [2, 2]
    assert Counter(diary(parent, "end")) == Counter({row["run"]: 1 for row in rows})


@pytest.mark.slow
def test_a_run_that_outlives_its_search_is_not_started_twice(parent: Path) -> None:
    first = start(parent, jobs=1, trials=1, tasks="a")
    study = study_of(parent, trials=1)
    assert first.wait(60) == 0
    assert study.claim() is None
    assert study.is_done()


def test_a_claimed_trial_is_not_given_away_while_its_holder_lives(parent: Path) -> None:
    one, other = study_of(parent, trials=2), study_of(parent, trials=2)
    first, second = one.claim(), other.claim()
    assert first is not None
    assert second is not None
    assert first.run != second.run
    assert one.claim() is None
    assert not one.is_done()
    assert one.settle(first, cause="exit code 1", was_killed=False).state == "failed"
    assert one.settle(second, cause="killed", was_killed=True).state == "waiting"
    third = other.claim()
    assert third is not None
    assert (third.run, third.assignments) == (second.run, second.assignments)


def test_a_killed_trial_has_three_attempts(parent: Path) -> None:
    assert search(study_of(parent, tasks=["die"], trials=1)) == 1
    assert diary(parent, "start") == ["try-000"] * 3
    (row,) = table_of(parent)
    assert row["state"] == "failed"
    assert "SIGKILL" in row["reason"]


def test_failures_in_a_row_stop_the_search_and_the_same_command_goes_on(
    parent: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert search(study_of(parent, tasks=["fail"], trials=6)) == 1
    assert len(diary(parent, "start")) == 3
    assert "exit code 3" in caplog.text
    assert not list(parent.glob("*.search/trials.csv"))
    (parent / "mended").touch()
    assert search(study_of(parent, tasks=["fail"], trials=6)) == 0
    assert Counter(row["state"] for row in table_of(parent)) == {"finished": 3, "failed": 3}


def test_a_trial_worse_than_the_others_is_pruned(parent: Path) -> None:
    space = ["a", "slow"]
    study = study_of(parent, tasks=space, trials=6)
    for _ in range(5):  # the sampler would choose either
        study._study.enqueue_trial({"module.task": "'a'"})
    study._study.enqueue_trial({"module.task": "'slow'"})
    assert search(study) == 0
    states = {row["task"]: row["state"] for row in table_of(parent)}
    assert states == {"'a'": "finished", "'slow'": "pruned"}
    (pruned,) = [row for row in table_of(parent) if row["state"] == "pruned"]
    assert pruned["epochs"] == "3"


def test_invalid_combinations_fail_without_a_process(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(assignments: tuple[Assignment, ...]) -> Point:
        raise UserError("these two exclude each other")

    monkeypatch.setattr(search_process, "point_of", refuse)
    assert search(study_of(parent, trials=2)) == 1
    assert diary(parent, "start") == []
    assert {row["reason"] for row in table_of(parent)} == {"these two exclude each other"}


def test_another_space_or_config_is_refused(parent: Path) -> None:
    study_of(parent, trials=2)
    with pytest.raises(UserError, match=r"another search space \(seed=uniform\(1,99\), module.task='a'\)"):
        study_of(parent, tasks=["b"], trials=2)
    with pytest.raises(UserError, match="lr was 1, now 2"):
        study_of(parent, config_text="lr = 2\n", trials=2)
    assert search(study_of(parent, tasks=["b"], trials=1, name="other")) == 0


def test_a_database_holds_the_study(parent: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    assert search(study_of(parent, trials=2, storage=url)) == 0
    assert not (parent / "try.search" / "journal.log").exists()
    assert [row.state for row in study_of(parent, trials=2, storage=url).rows()] == ["finished"] * 2
    with pytest.raises(UserError, match=r"study nothing://here cannot be opened .* check --study"):
        study_of(parent, trials=2, storage="nothing://here", name="second")


@pytest.mark.parametrize("lines", [1, 2, 6])
def test_a_study_that_ends_within_a_record_goes_on(parent: Path, caplog: pytest.LogCaptureFixture, lines: int) -> None:
    """As after a full disk. The first records are the study, its space, and its config; those of the trials follow."""
    assert search(study_of(parent, trials=2)) == 0
    journal = parent / "try.search" / "journal.log"
    records = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(records[:lines]) + records[lines][:-9])
    assert search(study_of(parent, trials=2)) == 0
    assert [row["state"] for row in table_of(parent)] == ["finished"] * 2
    assert caplog.text.count("ends within a record, which is removed") == 1


def test_a_damaged_study_is_one_sentence(parent: Path) -> None:
    study_of(parent, trials=2)
    (parent / "try.search" / "journal.log").write_bytes(b"no record\n")
    with pytest.raises(UserError, match=r"journal\.log cannot be opened .*; restore it, or choose another --run"):
        study_of(parent, trials=2)


@pytest.mark.slow
def test_a_signal_stops_the_trials_and_the_same_command_goes_on(parent: Path) -> None:
    process = start(parent, jobs=2, trials=2, tasks="hang")
    wait_until(lambda: len(diary(parent, "hangs")) == 2)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "the same command goes on" in error
    (parent / "mended").touch()
    assert search(study_of(parent, tasks=["hang"], trials=2)) == 0
    assert sorted(diary(parent, "end")) == ["try-000", "try-001"]
