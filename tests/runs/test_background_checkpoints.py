"""Checkpoints written in the background are complete copies, and their errors are not lost."""

import os
import time
from pathlib import Path

import pytest
import torch

from jersey.core import atomic
from jersey.core.errors import UserError, full_disk
from jersey.runs.checkpoints import CHECKPOINT_FORMAT, BackgroundCheckpointIO, usable_checkpoint
from jersey.runs.folder import open_run


def test_changes_after_the_call_do_not_change_the_file(tmp_path: Path) -> None:
    weights, counts = torch.zeros(1000, 1000), {"step": 1}
    writer = BackgroundCheckpointIO()
    writer.save_checkpoint({"weights": weights, "counts": counts}, tmp_path / "new" / "last.ckpt")
    weights += 1
    counts["step"] = 2
    writer.wait()
    written = writer.load_checkpoint(tmp_path / "new" / "last.ckpt", weights_only=True)
    assert torch.equal(written["weights"], torch.zeros(1000, 1000))
    assert written["counts"] == {"step": 1}


def test_last_of_several_writes_is_kept(tmp_path: Path) -> None:
    writer = BackgroundCheckpointIO()
    for step in range(20):
        writer.save_checkpoint({"step": step, "weights": torch.zeros(100_000)}, tmp_path / "last.ckpt")
    writer.teardown()
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["step"] == 19
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("later", ["wait", "teardown", "save_checkpoint"])
def test_error_is_raised_by_a_later_call_and_the_previous_file_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: str
) -> None:
    writer, path = BackgroundCheckpointIO(), tmp_path / "last.ckpt"
    writer.save_checkpoint({"step": 1}, path)
    writer.wait()
    with monkeypatch.context() as patched:
        patched.setattr(atomic.os, "fsync", _full)
        writer.save_checkpoint({"step": 2}, path)
        time.sleep(0.5)  # it has failed by then
    arguments = ({"step": 3}, path) if later == "save_checkpoint" else ()
    with pytest.raises(OSError, match="full"):
        getattr(writer, later)(*arguments)
    assert torch.load(path, weights_only=True) == {"step": 1}
    writer.wait()  # the error is raised only once


def _full(_: int) -> None:
    raise OSError("the disk is full")


def test_full_disk_is_recognized(tmp_path: Path) -> None:
    writer, path = BackgroundCheckpointIO(), tmp_path / "last.ckpt"
    writer.save_checkpoint({"step": 1}, path)
    writer.wait()
    (tmp_path / f".last.{os.getpid()}.partial.ckpt").symlink_to("/dev/full")
    writer.save_checkpoint({"step": 2, "weights": torch.zeros(100_000)}, path)
    with pytest.raises((OSError, RuntimeError)) as raised:
        writer.wait()
    cause = full_disk(raised.value)
    assert cause is not None
    assert cause.filename == str(path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("recorded", [CHECKPOINT_FORMAT + 1, CHECKPOINT_FORMAT - 1, "next"])
def test_a_checkpoint_of_another_format_is_refused_and_no_older_one_is_used(tmp_path: Path, recorded: object) -> None:
    run = open_run(tmp_path, "e", "run", config_files={"config.txt": "a = 1\n"})
    last, previous = run.last_checkpoints
    last.parent.mkdir()
    torch.save({"jersey": {"format": CHECKPOINT_FORMAT}}, previous)
    torch.save({"jersey": {"format": CHECKPOINT_FORMAT}}, last)
    assert usable_checkpoint(run) == last
    torch.save({"jersey": {"format": recorded}}, last)
    with pytest.raises(UserError, match=rf"last\.ckpt has the checkpoint format {recorded!r}, .*; install the version"):
        usable_checkpoint(run)
