"""What a command says of a mistake and of a full disk, and that it hides nothing else."""

import errno
import os
from pathlib import Path

import pytest

from jersey.core.errors import exit_on_user_error


def said_of(error: BaseException, capsys: pytest.CaptureFixture[str]) -> str:
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
    said = said_of(OSError(number, os.strerror(number), str(file)), capsys)
    disk = next(folder for folder in tmp_path.parents if os.path.ismount(folder))
    assert str(file) in said
    assert f"the disk at {disk} " in said
    assert ("quota" in said) == (number == errno.EDQUOT)


def test_a_full_disk_is_seen_behind_what_it_led_to_and_needs_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError) as raised:
        write_and_hide_why()
    assert "No space left" in said_of(raised.value, capsys)


def write_and_hide_why() -> None:
    try:
        Path("/dev/full").write_text("00")
    except OSError:
        raise RuntimeError("unexpected pos 576 vs 534")  # noqa: B904


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(FileNotFoundError), exit_on_user_error():
        Path("/no/such/file").read_text()
