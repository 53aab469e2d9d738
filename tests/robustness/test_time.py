"""A run whose clock is set back and forward, and a run that is resumed after an update of packages."""

import itertools
import logging
import re
import signal
import time
from pathlib import Path

import helpers.registered  # noqa: F401  # its import registers the experiments
import pytest
from helpers.run_folders import run_again
from robustness.crash_resume import differences, exit_code, finish

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]
CHANGES = ("profile=False", "epochs=2", "checkpoints.every_steps=2")
DAY_S = 86_400.0


def test_clock_and_packages_may_change_during_a_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runs = tmp_path / "resnet18_small"
    finish((folder, CHANGES, tmp_path, "whole"))

    arguments = (folder, CHANGES, tmp_path, "updated")
    assert exit_code((*arguments, "while a checkpoint is written", 2)) == -signal.SIGKILL
    packages = runs / "updated" / "packages.txt"
    packages.write_text(re.sub(r"(?m)^(torch|lightning)==", r"\1==0.", packages.read_text()))
    known = (tmp_path / "log.txt").read_text().count("packages differ")
    finish(arguments)
    assert (known, (tmp_path / "log.txt").read_text().count("packages differ")) == (0, 1)
    assert differences(runs / "updated", runs / "whole") == []

    clock, jumps = time.time, itertools.cycle((0.0, -DAY_S, DAY_S))
    monkeypatch.setattr(time, "time", lambda: clock() + next(jumps))  # every reading is a day before or after the last
    with caplog.at_level(logging.INFO, "jersey"):
        run_again(folder, CHANGES, tmp_path, "jumping")
    monkeypatch.undo()
    assert differences(runs / "jumping", runs / "whole") == []
    lines = [record.getMessage() for record in caplog.records]
    (stages,) = [line for line in lines if line.startswith("seconds by stage")]
    seconds = [float(each) for each in re.findall(r"[a-z] (-?[\d.]+)", stages)]
    seconds += [float(found[1]) for line in lines if (found := re.search(r"^epoch .* (-?\d+) s$", line))]
    assert len(seconds) == 6 + 2  # stages and epochs
    assert 0 <= min(seconds) <= max(seconds) < DAY_S / 10
