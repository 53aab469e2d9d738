"""An empty Aim repository for each test, and readers of its content with Aim's own SDK.

A test file adopts both fixtures by assignment: `workdir, empty_repository = ...`.
"""

import shutil
from pathlib import Path
from typing import Any

import aim
import pytest
from aim.sdk.index_manager import RepoIndexManager
from aim.storage.context import Context

from jersey.runs.aim import AimTracker
from jersey.runs.provenance import Origin


@pytest.fixture(scope="session")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Creates one repository, which takes seconds; tests copy it."""
    folder = tmp_path_factory.mktemp("aim")
    aim.Repo.from_path(str(folder), init=True)
    return folder / ".aim"


@pytest.fixture
def workdir(tmp_path: Path, empty_repository: Path) -> Path:
    """Returns a folder with an empty `.aim`."""
    shutil.copytree(empty_repository, tmp_path / ".aim")
    return tmp_path


def tracker_in(workdir: Path, *, commit: str | None = None, description: str = "") -> AimTracker:
    return AimTracker(
        repo=workdir / ".aim",
        experiment="quickstart",
        run_name="first",
        hash_file=workdir / "aim_hash",
        origin=Origin(commit=commit or "unknown"),
        description=description,
        system_tracking_interval=None,
    )


def hashes_in(workdir: Path) -> list[str]:
    return sorted(folder.name for folder in (workdir / ".aim" / "meta" / "chunks").glob("*"))


def indexed(workdir: Path) -> aim.Repo:
    """Returns the repository with an updated index; its runs must be closed."""
    repository = aim.Repo.from_path(str(workdir))
    for run_hash in hashes_in(workdir):
        RepoIndexManager.get_index_manager(repository).index(run_hash)
    return repository


def the_run(workdir: Path) -> aim.Run:
    (run_hash,) = hashes_in(workdir)
    assert run_hash == (workdir / "aim_hash").read_text()
    return aim.Run(run_hash, repo=indexed(workdir), read_only=True)


def points(sequence: Any) -> list[tuple[int, Any, int]]:
    """Returns (step, value, epoch) of each point."""
    steps, (values, epochs, _) = sequence.data.items_list()
    return list(zip(steps, values, epochs, strict=True))


def curve(run: aim.Run, name: str, **context: Any) -> list[tuple[int, float, int]]:
    """Returns the points of one metric."""
    where: Any = context
    return points(run.get_metric(name, Context(where)))
