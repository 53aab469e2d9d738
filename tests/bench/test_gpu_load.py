"""The load of a GPU, reported by a fake `nvidia-smi` on the PATH."""

import time
from pathlib import Path

import pytest

from jersey.bench.gpu_load import GpuLoad, parse

FAKE_NVIDIA_SMI = """#!/bin/sh
case "$*" in *utilization.gpu,power.draw*nounits*) ;; *) exit 1 ;; esac
echo '[N/A], [N/A]'
for load in '20, 100.50' '40, [N/A]' '90, 301.50'; do echo "$load"; sleep 0.2; done
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
        while len(load.samples) < 4:
            time.sleep(0.01)
    last_s = load.samples[-1][0]
    assert load.mean([(before_s, last_s)]) == pytest.approx((0.5, 201))
    assert load.mean([(before_s, last_s - 0.1)]) == pytest.approx((0.3, 100.5))
    assert load.mean([(last_s + 1, last_s + 2)]) == (None, None)


@pytest.mark.parametrize(
    ("line", "load"),
    [
        ("37, 285.41", (0.37, 285.41)),
        ("0, 68.04\n", (0.0, 68.04)),
        ("100, [Not Supported]", (1.0, None)),
        ("[N/A], 12.00", (None, 12.0)),
        ("[N/A], [Unknown Error]", (None, None)),
        ("Unable to determine the device handle for GPU0: Unknown Error, 1, 2", (None, None)),
        ("", (None, None)),
    ],
)
def test_a_line_of_nvidia_smi(line: str, load: tuple[float | None, float | None]) -> None:
    assert parse(line) == load


def test_without_nvidia_smi_there_is_no_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    load = GpuLoad()
    with load.sampled():
        assert load.mean([(0.0, time.perf_counter())]) == (None, None)
