"""The check of a GPU at toy size on the CPU: every part runs, and a part that fails or is too slow harms no other."""

import io
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.watched import has_ended

from jersey.bench import gpu
from jersey.core.errors import UserError


@pytest.mark.slow
@pytest.mark.timeout(1600)
def test_all_other_parts_have_results_if_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part that fails would have generated the crops that the next one uses."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    failing = replace(gpu.PARTS["run"], command=lambda setting, _: gpu._launch(setting, "quickstart", ["no_path=1"]))
    monkeypatch.setitem(gpu.PARTS, "run", failing)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")  # compiling takes minutes on a CPU
    assert gpu.measure(tmp_path, limit_s=1500)["passed"] is False
    parts = json.loads((tmp_path / "results.json").read_text())["parts"]
    statuses = {name: part["status"] for name, part in parts.items()}
    assert statuses == dict.fromkeys(gpu.PARTS, "ok") | {"run": "failed with exit code 2"}
    assert "no_path" in "".join(parts["run"]["log"])
    assert "tests collected" in parts["tests"]["last line"]
    (row,) = parts["speed"]["rows"]
    assert row["changes"] == "data.batch_size=8, data.size_px=(24, 24)"
    assert {"bare step", "jersey", "torchvision"} <= row["training"].keys()
    steps = [row["step"] for row in parts["compile"]["rows"]]
    assert {f"{step}, {mode}" for step in ("bare step", "jersey") for mode in ("default", "reduce-overhead")} < {*steps}
    assert [row["crops/s"] for row in parts["inference"]["rows"]] == [f"resnet18, 32 px, batch {n}" for n in (1, 2)]
    assert parts["reader"]["export"] == "verified"
    assert list(parts["reader"]["seconds by stage"]) == list(gpu.STAGES)
    weights = [tmp_path / name for name in parts["reader"]["weights"]]
    assert max(part.stat().st_size for part in weights) <= 16 * 2**20
    state = torch.load(io.BytesIO(b"".join(part.read_bytes() for part in weights)), weights_only=True)
    assert any(name.startswith("network.") for name in state)
    page = (tmp_path / "results.md").read_text()
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == list(gpu.PARTS)


def test_a_slow_part_is_asked_to_stop_and_then_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "GRACE_S", 0.5)
    program = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: print("stopping"))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid)
while True: time.sleep(0.1)
"""
    ended = gpu.run_limited(["-c", program], tmp_path / "log", limit_s=3)
    child, *others = ended.lines
    assert (ended.status, others) == ("timed out", ["stopping"])
    assert 2.5 < ended.seconds < 30
    deadline_s = time.monotonic() + 30
    while not has_ended(int(child)):  # a killed process takes a moment to end
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


def test_results_that_cannot_be_read_are_an_error_of_their_part(tmp_path: Path) -> None:
    setting = gpu.Setting(tmp_path, tmp_path, is_toy=True)
    ended = gpu.run_limited(["-c", "print('Traceback')"], tmp_path / "log", limit_s=30)
    assert set(gpu._results(gpu.PARTS["inference"], setting, ended)) == {"error"}
    assert gpu._results(gpu.PARTS["speed"], setting, ended) == {"rows": []}


def test_outcomes_of_an_unfinished_test_session_are_counted(tmp_path: Path) -> None:
    lines = ["tests/a.py::test_b[1] PASSED  [ 33%]", "tests/a.py::test_c FAILED [ 66%]", "tests/a.py::test_d "]
    ended = gpu.Ended("timed out", 0.0, 1.0, lines)
    results = gpu._test_results(gpu.Setting(tmp_path, tmp_path, is_toy=False), ended)
    assert (results["PASSED"], results["FAILED"], results["failed"]) == (1, 1, ["tests/a.py::test_c"])


def test_an_unknown_part_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown parts: speeds; use some of tests, run"):
        gpu.measure(tmp_path, parts=("speeds",))
