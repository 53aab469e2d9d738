"""Real runs whose Aim repository is taken from them after the first epoch: they train, test and export to the end.

What is done to the repository is what happens to one in life, by a process that is not the run.
"""

import fcntl
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from helpers.countdown import rows_of
from helpers.small_disk import filled, small_disk

pytestmark = pytest.mark.slow

Launch = Callable[..., subprocess.CompletedProcess[str]]
EPOCHS = 3
FLAGS = (
    "--exp=resnet18_baseline",
    "--run=one",
    "--fiddler=smoke",
    "--fiddler=cpu",
    f"--fdl_set=epochs={EPOCHS}",
    "--fdl_set=data.size_px=(32,32)",
    "--fdl_set=weights=None",
)


@contextmanager
def deleted(repository: Path) -> Iterator[None]:
    """Gone, with everything in it."""
    shutil.rmtree(repository)
    yield


@contextmanager
def read_only(repository: Path) -> Iterator[None]:
    """Not to be changed, by root neither."""
    attributes = ["chattr", "-R", "-f"]
    try:
        if subprocess.run([*attributes, "+i", repository], check=False).returncode != 0:
            pytest.skip("nothing here makes files immutable: needs chattr, root, and a file system that knows it")
        yield
    finally:
        subprocess.run([*attributes, "-i", repository], check=False)


@contextmanager
def locked(repository: Path) -> Iterator[None]:
    """Its run is taken by another process as soon as this one closes it, which is when training ends."""
    (lock,) = (repository / "meta" / "chunks").glob("*/LOCK")
    with lock.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)  # waits
        yield


def launch_and_take(
    launch: Launch, workdir: Path, crops_root: Path, taken: Callable[[Path], AbstractContextManager[None]]
) -> subprocess.CompletedProcess[str]:
    """Starts a run, does this to its repository when the first epoch is in the metrics, and waits for both."""
    metrics = workdir / "resnet18_baseline" / "one" / "metrics.csv"
    has_ended = threading.Event()
    trouble: list[BaseException] = []

    def take() -> None:
        try:
            while not metrics.exists() or len(rows_of(metrics.parent)) < 1:
                assert not has_ended.is_set(), "the run ended before its first epoch"
                time.sleep(0.02)
            with taken(workdir / ".aim"):
                has_ended.wait()
        except BaseException as error:
            trouble.append(error)

    taker = threading.Thread(target=take)
    taker.start()
    try:
        return launch(*FLAGS, f"--fdl_set=root={crops_root}")
    finally:
        has_ended.set()
        taker.join()
        if trouble:
            raise trouble[0]


def assert_complete_with_one_warning(result: subprocess.CompletedProcess[str], workdir: Path) -> None:
    assert result.returncode == 0, result.stderr
    rows = rows_of(workdir / "resnet18_baseline" / "one")
    assert [row["epoch"] for row in rows] == [str(epoch) for epoch in (*range(EPOCHS), EPOCHS - 1)]
    assert all(row["train/loss"] and row["val/acc_top1"] for row in rows[:-1])
    assert rows[-1]["test/acc_top1"]
    assert (workdir / "resnet18_baseline" / "one" / "model.onnx").stat().st_size > 0
    assert result.stderr.count("Aim stops recording this run") == 1, result.stderr
    for word in ("Traceback", "Error in", "Exception ignored"):
        assert word not in result.stderr, result.stderr


@pytest.mark.parametrize("taken", [deleted, read_only, locked])
def test_a_run_outlives_its_repository(
    launch: Launch, tmp_path: Path, crops_root: Path, taken: Callable[[Path], AbstractContextManager[None]]
) -> None:
    workdir = tmp_path / "runs"
    result = launch_and_take(launch, workdir, crops_root, taken)
    assert_complete_with_one_warning(result, workdir)


def test_a_run_outlives_a_full_disk(launch: Launch, tmp_path: Path, crops_root: Path) -> None:
    with small_disk(tmp_path / "runs" / ".aim", size_mb=64):  # with room for the beginning of a run
        result = launch_and_take(launch, tmp_path / "runs", crops_root, filled)
        assert_complete_with_one_warning(result, tmp_path / "runs")
