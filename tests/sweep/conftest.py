"""The folder of all runs of an experiment, on a machine without GPUs."""

from pathlib import Path

import pytest


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "exp"


@pytest.fixture(autouse=True)
def no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # otherwise torch is imported to count them
