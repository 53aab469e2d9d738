"""The shape of the code: packages import only those below them, and every outside dependency has one home."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
LIBRARY = sorted((REPOSITORY / "jersey").rglob("*.py"))
ORDER = [
    "bench",
    "cli",
    "compare",
    "sweep",
    "experiment",
    "lint",
    "config",
    "report",
    "export",
    "callbacks",
    "plots",
    "training",
    "evaluation",
    "inference",
    "data",
    "augment",
    "synth",
    "models",
    "runs",
    "core",
]
"""Packages, and the one loose module, from top to bottom: each may import what comes after it."""
HOMES = {
    "fiddle": ("jersey/config/", "jersey/lint/", "jersey/cli/", "experiments/"),
    "absl": ("launch.py",),
    "experiments": ("experiments/", "launch.py"),
    "aim": ("jersey/runs/aim.py",),
    "matplotlib": ("jersey/plots/",),
    "onnx": ("jersey/export/",),
    "onnxruntime": ("jersey/inference/", "jersey/export/int8.py"),
}
FORBIDDEN = {"jax", "jaxlib", "flax", "yaml", "omegaconf", "hydra", "pandas"}


def names_imported_by(path: Path) -> Iterator[str]:
    """The dotted names that a file imports anywhere, such as `jersey.core.labels.Labels`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package_of(path: Path) -> str:
    """The package below `jersey` that holds a file, or the file's own name; "" for `jersey/__init__.py`."""
    return path.relative_to(REPOSITORY / "jersey").with_suffix("").parts[0].replace("__init__", "")


def sources() -> list[Path]:
    return [*LIBRARY, *sorted((REPOSITORY / "experiments").glob("*.py")), REPOSITORY / "launch.py"]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_dependencies_stay_at_home(path: Path) -> None:
    relative = path.relative_to(REPOSITORY).as_posix()
    imported = {name.partition(".")[0] for name in names_imported_by(path)}
    assert not imported & FORBIDDEN
    for package, homes in HOMES.items():
        assert package not in imported or relative.startswith(homes), f"{relative} imports {package}"


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_packages_import_downward_and_no_private_name_of_another(path: Path) -> None:
    package = package_of(path)
    for name in names_imported_by(path):
        found = re.match(r"jersey\.(\w+)(.*)", name)
        if found is None or found[1] == package:
            continue
        assert ORDER.index(found[1]) > ORDER.index(package), f"{package} imports {name}, which stands above it"
        assert "._" not in found[2], f"{package} imports {name}, which is private"


def test_the_order_names_every_package_once_and_few_modules_are_loose() -> None:
    assert sorted(ORDER) == sorted({package_of(path) for path in LIBRARY} - {""})
    assert len([path for path in LIBRARY if path.parent.name == "jersey"]) <= 5


def test_inference_is_torch_free_and_nothing_imports_jax() -> None:
    probe = "import sys, {}; print(*sorted(m for m in {!r} if m in sys.modules))"
    for module, banned in (
        ("jersey.inference", {"torch", "lightning", "onnx", "matplotlib"}),
        ("jersey.inference.__main__", {"torch", "lightning", "onnx", "matplotlib"}),
        ("jersey.data.audit.__main__", {"torch", "lightning", "matplotlib"}),
        ("jersey.compare.__main__", {"torch", "lightning", "matplotlib", "fiddle"}),
        ("experiments", {"jax", "aim"}),
    ):
        command = [sys.executable, "-c", probe.format(module, banned)]
        seen = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout.strip()
        assert seen == "", f"{module} imports {seen}"


def test_there_is_no_yaml() -> None:
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout
    assert not [name for name in tracked.splitlines() if name.endswith((".yaml", ".yml"))]


def test_launch_stays_short() -> None:
    assert len((REPOSITORY / "launch.py").read_text(encoding="utf-8").splitlines()) <= 60
