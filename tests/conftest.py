"""Data and fixtures for tests of several packages."""

import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

# Before torch is imported: two test processes on two cores must not start two threads each.
os.environ["OMP_NUM_THREADS"] = "1"

import fiddle as fdl
import hypothesis
import pytest
from helpers.launched import launched
from helpers.repository import NUMBERS

from jersey.synth.generate import generate

hypothesis.settings.register_profile("without a clock", deadline=None)  # a busy machine must not fail a test
hypothesis.settings.load_profile("without a clock")


@pytest.hookimpl(trylast=True)  # after deselection
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Moves the files that take longest to the front, so that both workers end at about the same time.

    Files with slow tests are sorted by the longest timeout of these tests, and precede all others.
    """
    longest_s: dict[Path, float] = {}
    for item in items:
        timeout, is_slow = item.get_closest_marker("timeout"), item.get_closest_marker("slow") is not None
        longest_s[item.path] = max(longest_s.get(item.path, 0), timeout.args[0] if timeout and is_slow else is_slow)
    items.sort(key=lambda item: -longest_s[item.path])


@pytest.fixture(autouse=True)
def restored_jersey_log() -> Iterator[None]:
    """Restores jersey's log, because a command that ran in a test configures it for a terminal."""
    yield
    log = logging.getLogger("jersey")
    log.handlers, log.propagate = [], True
    log.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def crops_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generates a data set with the labels "0", "00" and "01"; tests must not change it."""
    root = tmp_path_factory.mktemp("synthetic") / "crops"
    generate(root, numbers=NUMBERS, train=48, val=12, test=12, size_px=40, imbalance=2.0, workers=1)
    return root


@pytest.fixture
def shrink(crops_root: Path) -> Callable[[fdl.Buildable], None]:
    """Returns a function that makes any experiment run in seconds: tiny images, few crops, one epoch, no download."""

    from jersey.testing import shrink  # imports torch, which takes seconds and which most tests do not need

    return partial(shrink, root=crops_root)


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Returns a function that runs the real `launch.py` with its runs below the test's folder."""

    def run(*flags: str, timeout_s: float = 280) -> subprocess.CompletedProcess[str]:
        return launched([f"--workdir={tmp_path / 'runs'}", *flags], tmp_path, timeout_s=timeout_s)

    return run
