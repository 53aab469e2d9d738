"""Builds the wheel of the repository, and runs commands of environments in which it is installed."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from helpers.repository import REPOSITORY


def uv() -> str:
    """Returns the program that builds and installs."""
    found = os.environ.get("UV") or shutil.which("uv")
    if found is None:
        pytest.skip("there is no uv to build and install with")
    return found


def built_wheel(folder: Path) -> Path:
    """Builds the wheel from the sdist, which lies beside it."""
    output_of(uv(), "build", "--quiet", "--out-dir", str(folder), str(REPOSITORY))
    (wheel,) = folder.glob("*.whl")
    return wheel


def environment_beside_ours(folder: Path, *packages: str) -> Path:
    """Installs packages without their dependencies, which are those of this environment; returns the scripts' folder.

    The editable installation of jersey is not among them, because only an environment's own `.pth` files are read.
    """
    output_of(uv(), "venv", "--quiet", "--python", sys.executable, str(folder))
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    python = str(folder / "bin" / "python")
    output_of(uv(), "pip", "install", "--quiet", "--no-deps", "--python", python, *packages)
    return folder / "bin"


def output_of(*words: str, cwd: Path | None = None, **variables: str) -> str:
    """Runs a command without this environment's variables, which would make its packages visible."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment = kept | variables
    result = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
