"""The shape of the code: imports go only inward, and every outside dependency has one home."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
LIBRARY = sorted((REPOSITORY / "jersey").rglob("*.py"))
HOMES = {
    "fiddle": ("jersey/config/", "experiments/"),
    "absl": ("launch.py",),
    "experiments": ("experiments/", "launch.py"),
    "aim": ("jersey/runs/aim.py",),
    "matplotlib": ("jersey/plots/",),
    "onnx": ("jersey/export/",),
    "onnxruntime": ("jersey/inference/", "jersey/export/int8.py"),
}
FORBIDDEN = {"jax", "jaxlib", "flax", "yaml", "omegaconf", "hydra", "pandas"}


def imports_of(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def sources() -> list[Path]:
    return [*LIBRARY, *sorted((REPOSITORY / "experiments").glob("*.py")), REPOSITORY / "launch.py"]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_imports_go_inward_and_dependencies_stay_at_home(path: Path) -> None:
    relative = path.relative_to(REPOSITORY).as_posix()
    imported = imports_of(path)
    assert not imported & FORBIDDEN
    for package, homes in HOMES.items():
        assert package not in imported or relative.startswith(homes), f"{relative} imports {package}"


def test_there_is_something_to_walk() -> None:
    assert len(LIBRARY) > 30


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
    assert len((REPOSITORY / "launch.py").read_text(encoding="utf-8").splitlines()) <= 70
