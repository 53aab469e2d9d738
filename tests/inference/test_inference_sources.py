"""Images are found by name, folder, pattern, list and annotation file."""

import io
import json
from pathlib import Path

import pytest

from jersey.core.errors import UserError
from jersey.data.files import images_below
from jersey.inference.sources import Item, items_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    hidden = (".hidden.png", ".git/x.png", "__MACOSX/y.png")
    for name in ("b/2.JPG", "b/10.png", "a.webp", "note.txt", *hidden):
        path = tmp_path / "c" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def items(*arguments: str, stdin: str = "") -> list[Item]:
    found, total, _ = items_of(arguments, io.StringIO(stdin))
    listed = list(found)
    assert total == (None if "-" in arguments else len(listed))
    return listed


def names(*arguments: str, stdin: str = "") -> list[str]:
    return [item.name for item in items(*arguments, stdin=stdin)]


def test_a_folder_means_its_images_sorted_without_hidden_ones(folder: Path) -> None:
    assert names("c") == names("c/") == ["c/a.webp", "c/b/10.png", "c/b/2.JPG"]
    assert images_below(folder / "c" / "b") == [folder / "c" / "b" / "10.png", folder / "c" / "b" / "2.JPG"]
    (folder / "c" / "b" / "round").symlink_to(folder / "c")
    (folder / "empty").mkdir()
    assert len(names("c", "empty")) == 3


def test_patterns_match_images_and_folders_once(folder: Path) -> None:
    assert names("c/*") == ["c/a.webp", "c/b/10.png", "c/b/2.JPG"]
    assert names("c/**/*.png") == ["c/b/10.png"]
    assert names("c/**") == ["c/a.webp", "c/b/10.png", "c/b/2.JPG"]
    assert names(f"{folder}/c/?.webp") == [f"{folder}/c/a.webp"]


def test_files_are_taken_literally_in_the_order_of_the_arguments(folder: Path) -> None:
    (folder / "c" / "odd [1].png").touch()
    assert names("c/note.txt", "c/odd [1].png", "c/a.webp") == ["c/note.txt", "c/odd [1].png", "c/a.webp"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        *((name, "there is no file or folder") for name in ("c/none.png", "nowhere", "x" * 5000)),
        *((name, "no image matches the pattern") for name in ("c/*.gif", "c/[z].png")),
        ("none.jsonl", "cannot read"),
        ("no text.jsonl", "not UTF-8"),
    ],
)
def test_an_argument_that_names_nothing_raises_one_sentence(folder: Path, wrong: str, words: str) -> None:
    (folder / "no text.jsonl").write_bytes(b'{"image": "\xff.png"}')
    with pytest.raises(UserError, match=words) as raised:
        items("c", wrong)
    assert wrong in str(raised.value)


def test_standard_input_has_one_path_per_line(folder: Path) -> None:
    assert names("-", stdin="c/a.webp\n\n  \r\nname with blanks .png\r\n") == ["c/a.webp", "name with blanks .png"]
    assert names("c/b", "-", stdin="\ufeffz.png") == ["c/b/10.png", "c/b/2.JPG", "z.png"]
    assert names("-") == []
    assert [item.tracklet for item in items("c")] == ["c", "c/b", "c/b"], "their folders"
    assert [item.tracklet for item in items("-", stdin="x.png\nd/x.png")] == [".", "d"]


def test_rows_name_images_and_tracklets(folder: Path) -> None:
    alone = {"image": "b/10.png", "suffix": "00"}
    rows = [{"image": "a.webp", "tracklet": "p7"}, {"image": "b/2.JPG", "tracklet": "12"}, alone]
    text = "\n".join(json.dumps(row) for row in rows)
    (folder / "c" / "list.jsonl").write_text("\ufeff" + text + "\n\n", encoding="utf-8")
    found = items("c/list.jsonl")
    assert [item.crop for item in found] == ["c/a.webp", "c/b/2.JPG", "c/b/10.png"]
    assert [item.tracklet for item in found] == ["p7", "12", "c/b/10.png"]
    assert [item.crop for item in items("-", stdin=text)] == ["a.webp", "b/2.JPG", "b/10.png"]


@pytest.mark.parametrize(
    "line", ['{"image": 7}', '{"suffix": "7"}', "a.png", '{"image": "a.png", "tracklet": [7]}', '{"a": ' * 9999]
)
def test_a_wrong_row_is_the_error_of_one_image(folder: Path, line: str) -> None:
    (folder / "list.jsonl").write_text(f'{line}\n{{"image": "c/a.webp"}}\n', encoding="utf-8")
    faulty, correct = items("list.jsonl")
    assert isinstance(faulty.crop, UserError)
    assert "list.jsonl:1" in str(faulty.crop)
    assert faulty.tracklet is None
    assert correct.crop == "c/a.webp"
