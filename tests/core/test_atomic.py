"""Files are written atomically."""

import errno
import os
from pathlib import Path

import pytest

from jersey.core.atomic import as_write_error, atomic_write, create_folder, rename, require_folder, write_text
from jersey.core.errors import UserError, WriteError, exit_on_user_error


class Interruption(Exception):
    pass


def test_the_new_file_replaces_the_old_one_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with atomic_write(path) as temporary:
        assert temporary.parent == path.parent
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def write_and_fail(path: Path, written: bytes | None) -> None:
    with atomic_write(path) as temporary:
        if written is not None:
            temporary.write_bytes(written)
        raise Interruption


@pytest.mark.parametrize("before", [None, b"old"])
@pytest.mark.parametrize("written", [None, b"half"])
def test_a_failure_changes_no_file_and_leaves_no_temporary_one(
    tmp_path: Path, before: bytes | None, written: bytes | None
) -> None:
    path = tmp_path / "a.bin"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(Interruption):
        write_and_fail(path, written)
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == ([] if before is None else [before])


def test_text_is_utf8_with_unchanged_newlines_and_the_permissions_of_a_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("a")
    write_text(tmp_path / "a.txt", "00\r\né\n🏀")
    assert (tmp_path / "a.txt").read_bytes() == "00\r\né\n🏀".encode()
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


def test_the_error_of_a_full_disk_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(OSError, match="No space left") as raised:
        write_to_a_full_disk(tmp_path / "a.txt")
    assert raised.value.filename == str(tmp_path / "a.txt")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def write_to_a_full_disk(path: Path) -> None:
    with atomic_write(path) as temporary:
        temporary.symlink_to("/dev/full")
        temporary.write_text("new")


def test_a_folder_that_cannot_be_created_is_one_sentence_with_the_remedy(tmp_path: Path) -> None:
    create_folder(tmp_path / "a" / "b", remedy="")
    create_folder(tmp_path / "a" / "b", remedy="")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot create the folder .*file/c \(Not a directory\); choose another --out"):
        create_folder(tmp_path / "file" / "c", remedy="choose another --out")


def test_results_replace_nothing_but_earlier_ones(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / "own.csv").touch()
    for name in ("empty", "earlier", "new", "new/below"):
        require_folder(tmp_path / name, own="own.csv", remedy="")
    assert not (tmp_path / "new").exists()
    for name, words in (
        (".", "has files that the results could replace; choose another --out, which is new or empty"),
        ("earlier/own.csv", "own.csv is not a folder that you may write to; choose another --out"),
        ("earlier/own.csv/below", "own.csv is not a folder that you may write to; choose another --out"),
    ):
        with pytest.raises(UserError, match=words):
            require_folder(tmp_path / name, own="own.csv", remedy="choose another --out")


RENAME_ERRORS = (errno.EXDEV, errno.ESTALE, errno.EBUSY, errno.EIO)


def fail_renames(monkeypatch: pytest.MonkeyPatch, number: int, *, times: int, is_done: bool = False) -> None:
    """Lets the next renames fail; `is_done` renames all the same, as a network drive whose answer was lost."""
    rename, left = os.replace, [times]

    def failing(source: str, target: str) -> None:
        if left[0] == 0 or is_done:
            rename(source, target)
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number), str(source), None, str(target))

    monkeypatch.setattr(os, "replace", failing)


@pytest.mark.parametrize("number", RENAME_ERRORS)
@pytest.mark.parametrize("is_done", [False, True])
def test_a_rename_that_fails_once_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_done: bool
) -> None:
    (tmp_path / "a.txt").write_text("old")
    fail_renames(monkeypatch, number, times=1, is_done=is_done)
    write_text(tmp_path / "a.txt", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize("number", RENAME_ERRORS)
def test_a_rename_that_always_fails_is_one_sentence_and_the_old_file_is_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    (tmp_path / "a.txt").write_text("old")
    fail_renames(monkeypatch, number, times=99)
    with pytest.raises(SystemExit) as ended, exit_on_user_error():
        write_text(tmp_path / "a.txt", "new")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: cannot write {tmp_path / 'a.txt'}: {os.strerror(number)}; make it writable")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_folder_that_cannot_be_renamed_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new").mkdir()
    fail_renames(monkeypatch, errno.ESTALE, times=99)
    with pytest.raises(OSError, match="Stale"):
        rename(tmp_path / "new", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_only_errors_about_the_written_file_become_write_errors(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with pytest.raises(FileNotFoundError), atomic_write(target) as temporary:
        temporary.write_bytes(source.read_bytes())
    with pytest.raises(WriteError) as raised, as_write_error(target):
        raise OSError(errno.ENOSPC, "No space left", str(source), None, str(target))
    assert raised.value.filename == str(target)
