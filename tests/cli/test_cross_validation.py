"""The folds of a cross-validation are made once for the same crops, and again if these or their number change."""

from collections.abc import Sequence
from pathlib import Path

import fiddle as fdl
import pytest
from helpers.data_trees import save

from jersey.cli import folds as cross_validation
from jersey.cli.folds import cross_validate
from jersey.core.errors import UserError
from jersey.recipes.resnet18_small import resnet18_small
from jersey.sweep.plan import Run


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The data roots of the runs of each call, none of which is started."""
    roots: list[list[str]] = []

    def record(runs: Sequence[Run], **_: object) -> int:
        roots.append([run.point.assignments[0].text.strip("'") for run in runs])
        return 0

    monkeypatch.setattr(cross_validation, "run_sweep", record)
    return roots


def test_folds_are_made_once_for_the_same_crops(tmp_path: Path, started: list[list[str]]) -> None:
    root = tmp_path / "set"
    for index in range(16):
        save(root / ("val" if index > 11 else "train") / ("0", "7")[index % 2] / f"{index}.png", index)
    config = resnet18_small()
    config.data.root = str(root)

    def call(folds: int, prefix: str | None = "try", changed: fdl.Buildable = config) -> list[str]:
        assert cross_validate("e", changed, folds, [], str(tmp_path / "runs"), prefix, 1) == 0
        assert all((Path(each) / "train" / "annotations.jsonl").exists() for each in started[-1])
        assert len(set(started[-1])) == folds
        return started[-1]

    first = call(2)
    assert Path(first[0]).parent.parent == tmp_path / "runs" / "e"
    before = {path: path.lstat().st_mtime_ns for path in Path(first[0]).rglob("*")}
    assert call(2) == first
    assert {path: path.lstat().st_mtime_ns for path in Path(first[0]).rglob("*")} == before
    others = [call(3), call(2, None)]
    save(root / "train" / "7" / "added.png", 90)
    others.append(call(2))
    assert len({tuple(roots) for roots in [first, *others]}) == 4


def test_a_config_that_refuses_links_is_refused_before_they_are_made(tmp_path: Path, started: list[list[str]]) -> None:
    config = resnet18_small()
    config.data.root, config.data.outside_links = str(tmp_path / "set"), "error"
    with pytest.raises(UserError, match=r"makes links to the crops, and data\.outside_links=error refuses them"):
        cross_validate("e", config, 2, [], str(tmp_path / "runs"), None, 1)
    assert started == [] == list(tmp_path.iterdir())
