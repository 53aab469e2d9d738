"""Where a run goes on whose `last.ckpt` is damaged."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from jersey.core.errors import UserError
from jersey.runs.checkpoints import usable_checkpoint
from jersey.runs.folder import RunFolder, open_run


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = open_run(tmp_path, "quickstart", "one", documents={"config.txt": "seed = 0\n"})
    run.last_checkpoints[0].parent.mkdir()
    return run


def write(path: Path, content: Any, *, kept: float = 1.0) -> None:
    """A checkpoint, or the beginning of one."""
    torch.save(content, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])


GOOD = {"jersey": {"labels": ["0", "00"]}, "state_dict": {"weight": torch.zeros(1000)}}


def test_a_new_run_has_none(folder: RunFolder) -> None:
    assert usable_checkpoint(folder) is None


def test_the_last_is_taken_as_long_as_it_is_whole(folder: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    for path in folder.last_checkpoints:
        write(path, GOOD)
    assert usable_checkpoint(folder) == folder.last_checkpoints[0]
    assert not caplog.records


@pytest.mark.parametrize(("content", "kept"), [(GOOD, 0.5), (GOOD, 0.0), (GOOD, 0.99), ({"another": "program"}, 1.0)])
def test_else_the_one_before_it_is_and_the_damage_told(
    folder: RunFolder, caplog: pytest.LogCaptureFixture, content: Any, kept: float
) -> None:
    last, previous = folder.last_checkpoints
    write(last, content, kept=kept)
    write(previous, GOOD)
    with caplog.at_level(logging.WARNING, logger="jersey"):
        logging.getLogger("jersey").propagate = True
        assert usable_checkpoint(folder) == previous
    assert "last.ckpt is damaged" in caplog.text


def test_with_none_left_the_user_is_asked(folder: RunFolder) -> None:
    for path in folder.last_checkpoints:
        write(path, GOOD, kept=0.5)
    with pytest.raises(UserError, match=r"last\.ckpt and previous\.ckpt of the run .* are damaged; remove them"):
        usable_checkpoint(folder)
