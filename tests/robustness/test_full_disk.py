"""A run on a full disk stops with one sentence, and resumes when there is space again."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.countdown import rows_of
from helpers.launched import SMALL, Started
from helpers.small_disk import filled, small_disk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
EPOCHS = 5
FLAGS = (*SMALL, f"--fdl_set=trainer.epochs={EPOCHS}")


def has_checkpoint(run: Path) -> bool:
    return (run / "checkpoints" / "last.ckpt").exists()


def has_trained(run: Path) -> bool:
    status = run / "status.json"
    return status.exists() and json.loads(status.read_text(encoding="utf-8"))["stage"] == "test"


def launch_and_fill(
    flags: list[str], cwd: Path, disk: Path, run: Path, when: Callable[[Path], bool]
) -> subprocess.CompletedProcess[str]:
    """Starts a run, and leaves space for small files only as soon as `when` is true of its folder."""
    started = Started(flags, cwd)
    while not when(run):
        assert started.is_running(), started.ended(timeout_s=1).stderr
        time.sleep(0.02)
    with filled(disk, but_mb=4):
        return started.ended(timeout_s=240)


def assert_one_sentence(ended: subprocess.CompletedProcess[str], *words: str) -> None:
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("\nerror: ") == 1, ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert all(word in last for word in ("error: ", "full", "--workdir", *words)), last


def test_a_run_stops_at_a_full_disk_and_resumes_when_there_is_space(tmp_path: Path, crops_root: Path) -> None:
    with small_disk(tmp_path / "disk", size_mb=900) as disk:
        run = disk / "resnet18_baseline" / "one"
        flags = [*FLAGS, f"--workdir={disk}", f"--fdl_set=root={crops_root}"]

        ended = launch_and_fill(flags, tmp_path, disk, run, has_checkpoint)
        assert_one_sentence(ended, f"{run}/checkpoints/last.ckpt", f"{disk} is full")
        assert not list(run.rglob("*.partial.*"))
        done = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] + 1
        assert 0 < done < EPOCHS

        ended = launch_and_fill(flags, tmp_path, disk, run, has_trained)
        assert "resuming" in ended.stderr
        assert_one_sentence(ended, f"{run}/model.onnx", f"{disk} is full")
        assert not list(run.rglob("*.partial.*"))
        assert not (run / "model.onnx").exists()

        ended = Started(flags, tmp_path).ended(timeout_s=240)
        assert ended.returncode == 0, ended.stderr
        assert (run / "model.onnx").stat().st_size > 0
        assert [row["epoch"] for row in rows_of(run)] == [str(epoch) for epoch in (*range(EPOCHS), EPOCHS - 1)]
