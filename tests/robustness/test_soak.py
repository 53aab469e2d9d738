"""Repeated runs in one process leak nothing, and the soak check detects leaks."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import fiddle as fdl
import helpers.registered  # noqa: F401  # its import registers the experiments
import numpy as np
import pytest
from helpers.run_folders import config_folder
from robustness.soak import SETTLED, Held, growth, held, soak

from jersey import config as configs


def test_held_resources_are_counted() -> None:
    before = held()
    read_end, write_end = os.pipe()
    released = threading.Event()
    thread = threading.Thread(target=released.wait)
    thread.start()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    pixels_N = np.ones(30 * 2**20, np.uint8)
    during = held()
    child.communicate(b"\n")
    released.set()
    thread.join()
    os.close(read_end)
    os.close(write_end)
    assert during.files - before.files == 3  # two ends of the pipe, and one end of the child's
    assert (during.threads - before.threads, during.children - before.children) == (1, 1)
    assert during.anonymous_mb - before.anonymous_mb == pytest.approx(pixels_N.nbytes / 2**20, abs=5)
    del pixels_N
    after = held()
    assert (after.files, after.threads, after.children) == (before.files, before.threads, before.children)
    assert after.anonymous_mb == pytest.approx(before.anonymous_mb, abs=5)


def test_growth_is_measured_from_the_settled_run() -> None:
    settling = [Held(1.0, 1.0, 1, 1, 1)] * (SETTLED - 1)
    found = [*settling, Held(200.0, 100.0, 10, 5, 0), Held(900.0, 900.0, 90, 90, 9), Held(210.0, 101.0, 12, 4, 1)]
    assert growth(found) == {"resident": 0.05, "anonymous": 0.01, "files": 2, "threads": -1, "children": 1}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_run_leaves_no_file_thread_or_process_behind(tmp_path: Path, shrink: Callable[[fdl.Buildable], None]) -> None:
    config = configs.get_experiment("quickstart")()
    shrink(config)
    config_folder(config, "quickstart", tmp_path)
    _, second, third = soak(tmp_path, ["limit_batches=2"], runs=3, workdir=tmp_path / "runs")
    assert (third.files, third.threads, third.children) == (second.files, second.threads, second.children)
    assert third.anonymous_mb < 1.02 * second.anonymous_mb
