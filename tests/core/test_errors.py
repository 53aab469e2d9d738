"""A command reports a mistake, a full disk and a full GPU in one sentence, and hides no other error."""

import errno
import os
from pathlib import Path

import fiddle as fdl
import pytest
import torch

from jersey.callbacks.ema import EMA
from jersey.core.errors import UserError, exit_on_user_error


def message_of(error: BaseException, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended, exit_on_user_error():
        raise error
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence_that_names_the_disk_and_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    file = tmp_path / "no such folder" / "best.ckpt"
    message = message_of(OSError(number, os.strerror(number), str(file)), capsys)
    disk = next(folder for folder in tmp_path.parents if os.path.ismount(folder))
    assert str(file) in message
    assert f"the disk at {disk} " in message
    assert ("quota" in message) == (number == errno.EDQUOT)


def test_a_full_disk_is_recognized_as_a_cause_and_without_a_file_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError) as raised:
        write_and_hide_the_cause()
    assert "No space left" in message_of(raised.value, capsys)


def write_and_hide_the_cause() -> None:
    try:
        Path("/dev/full").write_text("00")
    except OSError:
        raise RuntimeError("unexpected pos 576 vs 534")  # noqa: B904


TORCH_MESSAGE = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. "
    "GPU 0 has a total capacity of 79.19 GiB of which 1.05 GiB is free. "
    "Including non-PyTorch memory, this process has 78.13 GiB memory in use. See documentation for Memory Management"
)


@pytest.mark.parametrize(
    ("error", "details"),
    [
        (
            torch.OutOfMemoryError(TORCH_MESSAGE),
            " (Tried to allocate 2.00 GiB; GPU 0 has a total capacity of 79.19 GiB of which 1.05 GiB is free)",
        ),
        (
            RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
            "",
        ),  # other processes hold the memory
    ],
)
def test_a_full_gpu_is_one_sentence_with_the_requested_memory_even_as_a_cause(
    error: Exception, details: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError) as raised:
        fail_after(error)
    for each in (error, raised.value):
        message = message_of(each, capsys)
        assert message.startswith(f"error: the GPU is out of memory{details}; lower data.batch_size")


def fail_after(error: BaseException) -> None:
    try:
        raise error
    except Exception:
        raise RuntimeError("the logger is closed")  # noqa: B904


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(FileNotFoundError), exit_on_user_error():
        Path("/no/such/file").read_text()


def test_the_error_of_a_part_that_fiddle_builds_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    part = fdl.Config(EMA, decay=0.9, half_life_epochs=3.0)
    with pytest.raises(UserError) as raised:
        fdl.build(part)
    assert "\n" in str(raised.value)
    assert "half_life_epochs" in message_of(raised.value, capsys)
