"""The load of a GPU, reported by a fake `nvidia-smi` on the PATH."""

import time
from pathlib import Path

import pytest

from jersey.bench.gpu_load import GpuLoad

FAKE_NVIDIA_SMI = """#!/bin/sh
case "$*" in *utilization.gpu*) ;; *) exit 1 ;; esac
echo '[N/A]'
for load in 20 40 90; do echo $load; sleep 0.2; done
exec sleep 60
"""


def test_only_samples_inside_of_the_spans_are_averaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(FAKE_NVIDIA_SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    load = GpuLoad()
    before_s = time.perf_counter()
    with load.sampled():
        while len(load.samples) < 3:
            time.sleep(0.01)
    last_s = load.samples[-1][0]
    assert load.mean([(before_s, last_s)]) == pytest.approx(0.5)
    assert load.mean([(before_s, last_s - 0.1)]) == pytest.approx(0.3)
    assert load.mean([(last_s + 1, last_s + 2)]) is None


def test_without_nvidia_smi_the_mean_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    load = GpuLoad()
    with load.sampled():
        assert load.mean([(0.0, time.perf_counter())]) is None
