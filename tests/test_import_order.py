"""Packages import only packages below them, and each external dependency is imported in one place."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.import_graph import DOCUMENT, LIBRARY, names_imported_by, order_of, package_named, package_of, with_matrix
from helpers.repository import REPOSITORY

DOCUMENTED = DOCUMENT.read_text(encoding="utf-8")
ORDER = order_of(DOCUMENTED)
"""Packages, and the one top-level module, from top to bottom; each may import those after it."""
HOMES = {
    "fiddle": ("jersey/config/", "jersey/lint/", "jersey/cli/", "jersey/recipes/", "experiments/"),
    "absl": ("jersey/cli/launch.py",),
    "experiments": ("experiments/",),
    "aim": ("jersey/runs/aim.py",),
    "optuna": ("jersey/sweep/",),
    "matplotlib": ("jersey/plots/",),
    "onnx": ("jersey/export/", "jersey/models/folding.py"),
    "onnxruntime": ("jersey/inference/", "jersey/export/int8.py"),
}
FORBIDDEN = {"jax", "jaxlib", "flax", "yaml", "omegaconf", "hydra", "pandas"}


SOURCES = [*LIBRARY, *sorted((REPOSITORY / "experiments").glob("*.py")), REPOSITORY / "launch.py"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_imports_respect_homes_order_and_private_names(path: Path) -> None:
    relative, names = path.relative_to(REPOSITORY).as_posix(), list(names_imported_by(path))
    imported = {name.partition(".")[0] for name in names}
    assert not imported & FORBIDDEN
    for package, homes in HOMES.items():
        assert package not in imported or relative.startswith(homes), f"{relative} imports {package}"
    if path not in LIBRARY:
        return
    package = package_of(path)
    for name in names:
        found = package_named(name)
        if found is None or found == package:
            continue
        assert ORDER.index(found) > ORDER.index(package), f"{package} imports {name}, which is above it"
        assert "._" not in name, f"{package} imports {name}, which is private"


def test_the_order_lists_every_package_once_and_few_modules_are_outside_of_packages() -> None:
    assert sorted(ORDER) == sorted({package_of(path) for path in LIBRARY} - {""})
    assert len([path for path in LIBRARY if path.parent.name == "jersey"]) <= 5


def test_the_import_table_of_the_document_is_current() -> None:
    """`PYTHONPATH=tests python -m helpers.import_graph` updates it."""
    assert with_matrix(DOCUMENTED, ORDER) == DOCUMENTED


def test_every_source_location_in_the_document_exists() -> None:
    places = re.findall(r"`(\w+/[\w/]+\.py):([\w.]+)`", DOCUMENTED)
    assert len(places) > 15
    for file, dotted in places:
        body = ast.parse((REPOSITORY / "jersey" / file).read_text(encoding="utf-8")).body
        for name in dotted.split("."):
            (found,) = (node for node in body if getattr(node, "name", None) == name)
            body = getattr(found, "body", [])


def test_commands_import_no_more_than_they_need() -> None:
    probe = "import sys, {}; print(*sorted({!r} & set(sys.modules)))"
    without_torch = "jersey.inference.__main__, jersey.data.audit.__main__, jersey.data.prepare.__main__, "
    without_torch += "jersey.compare.__main__, jersey.evaluate"
    for modules, banned in (
        (without_torch, {"torch", "lightning", "onnx", "matplotlib", "fiddle"}),
        ("jersey.recipes.quickstart, experiments.resnet18_small", {"jax", "aim"}),
    ):
        command = [sys.executable, "-c", probe.format(modules, banned)]
        seen = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout.strip()
        assert seen == "", f"{modules} imports {seen}"


def test_there_is_no_yaml_and_launch_stays_short() -> None:
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout
    assert not [name for name in tracked.splitlines() if name.endswith((".yaml", ".yml"))]
    assert len((REPOSITORY / "launch.py").read_text(encoding="utf-8").splitlines()) <= 60
