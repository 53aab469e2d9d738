"""A run is whole without Aim, installed or not, and one file of the library would change if Aim were removed."""

import ast
import importlib.abc
import logging
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
from helpers.import_graph import LIBRARY, names_imported_by
from helpers.registered import EXPERIMENTS
from helpers.repository import REPOSITORY
from helpers.run_folders import full_run

from jersey import config as configs
from jersey.runs.loggers import NoTracker

HOME = "jersey/runs/aim.py"


class NotInstalled(importlib.abc.MetaPathFinder):
    """Finds no module of Aim, as if the package were not installed."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] == "aim":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


@pytest.mark.slow
def test_a_run_without_the_package_is_whole_and_says_so_once(
    tmp_path: Path, crops_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "aim"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NotInstalled(), *sys.meta_path])
    assert "resnet18_baseline" in EXPERIMENTS
    config = configs.get_experiment("resnet18_baseline")()
    config.data.root, config.data.size_px, config.data.batch_size = str(crops_root), (32, 32), 16
    config.module.network.weights, config.trainer.epochs, config.trainer.accelerator = None, 1, "cpu"
    with caplog.at_level(logging.WARNING, logger="jersey"):
        folder = full_run(config, "resnet18_baseline", tmp_path / "runs")
    assert folder.stage == "finished"
    assert [record.message for record in caplog.records if "Aim" in record.message] == [
        f"Aim stops recording this run; everything else continues (repository {tmp_path / 'runs' / '.aim'}: "
        "ModuleNotFoundError: No module named 'aim')"
    ]
    for name in ("model.onnx", "report.html", "metrics.csv", "predictions_test.csv", "confusion_matrix_test.png"):
        assert (folder.path / name).stat().st_size > 0
    assert not (tmp_path / "runs" / ".aim").exists()
    assert not (folder.path / "aim_hash").exists()


def test_only_one_file_imports_aim() -> None:
    importing = [
        path.relative_to(REPOSITORY).as_posix()
        for path in LIBRARY
        if any(name.partition(".")[0] == "aim" for name in names_imported_by(path))
    ]
    assert importing == [HOME]


def test_the_library_uses_the_tracker_in_one_place_and_only_what_a_run_without_it_has() -> None:
    """`NoTracker` has the same methods, so that a replacement of the file changes no other."""
    users = [
        path
        for path in LIBRARY
        if not path.relative_to(REPOSITORY).as_posix().startswith((HOME, "jersey/bench/"))
        and any(name.startswith("jersey.runs.aim") for name in names_imported_by(path))
    ]
    (user,) = users
    assert user.name == "experiment.py"
    tree = ast.parse(user.read_text(encoding="utf-8"))
    called = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tracker"
    }
    assert called
    assert called <= set(dir(NoTracker))
