"""Files are written atomically."""

from pathlib import Path

import pytest

from jersey.core.atomic import atomic_write, create_folder, write_text
from jersey.core.errors import UserError


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
