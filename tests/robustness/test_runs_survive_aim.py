"""Real runs that lose their Aim repository after the first epoch still train, test and export to the end.

Another process damages the repository in the ways that occur in practice.
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
    """Deletes the repository."""
    shutil.rmtree(repository)
    yield


@contextmanager
def read_only(repository: Path) -> Iterator[None]:
    """Makes the repository immutable, even for root."""
    attributes = ["chattr", "-R", "-f"]
    try:
        if subprocess.run([*attributes, "+i", repository], check=False).returncode != 0:
            pytest.skip("files cannot be made immutable: this needs chattr, root, and a file system that supports it")
        yield
    finally:
        subprocess.run([*attributes, "-i", repository], check=False)


@contextmanager
def locked(repository: Path) -> Iterator[None]:
    """Locks the Aim run as soon as its process closes it, which is when training ends."""
    (lock,) = (repository / "meta" / "chunks").glob("*/LOCK")
    with lock.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)  # waits
        yield


def launch_and_damage(
    launch: Launch, workdir: Path, crops_root: Path, damage_repository: Callable[[Path], AbstractContextManager[None]]
) -> subprocess.CompletedProcess[str]:
    """Starts a run, damages its repository after the first epoch, and waits for both."""
    metrics = workdir / "resnet18_baseline" / "one" / "metrics.csv"
    has_ended = threading.Event()
    trouble: list[BaseException] = []

    def damage() -> None:
        try:
            while not metrics.exists() or len(rows_of(metrics.parent)) < 1:
                assert not has_ended.is_set(), "the run ended before its first epoch"
                time.sleep(0.02)
            with damage_repository(workdir / ".aim"):
                has_ended.wait()
        except BaseException as error:
            trouble.append(error)

    damager = threading.Thread(target=damage)
    damager.start()
    try:
        return launch(*FLAGS, f"--fdl_set=root={crops_root}")
    finally:
        has_ended.set()
        damager.join()
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


@pytest.mark.parametrize("damage_repository", [deleted, read_only, locked])
def test_a_run_survives_the_loss_of_its_repository(
    launch: Launch, tmp_path: Path, crops_root: Path, damage_repository: Callable[[Path], AbstractContextManager[None]]
) -> None:
    workdir = tmp_path / "runs"
    result = launch_and_damage(launch, workdir, crops_root, damage_repository)
    assert_complete_with_one_warning(result, workdir)


def test_a_run_survives_a_full_disk(launch: Launch, tmp_path: Path, crops_root: Path) -> None:
    with small_disk(tmp_path / "runs" / ".aim", size_mb=64):  # enough for the beginning of a run
        result = launch_and_damage(launch, tmp_path / "runs", crops_root, filled)
        assert_complete_with_one_warning(result, tmp_path / "runs")
