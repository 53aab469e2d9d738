"""Both layouts of a data set on disk: what is read, in which order, and what is refused with which words."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from jersey.data.index import SPLITS, Paths, Split, label_map, missing_labels, read_splits
from jersey.errors import UserError
from jersey.labels import Labels


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"any content: the index opens no image")
    return path


def annotate(file: Path, *rows: tuple[str, object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"image": image, "prefix": "Read the number.", "suffix": label}) for image, label in rows]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small good data set, one folder per class."""
    for split in SPLITS:
        for label in ("0", "00", "23"):
            touch(tmp_path / split / label / f"{label}_{split}.jpg")
    return tmp_path


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    """A small good data set with annotation files."""
    for split in SPLITS:
        touch(tmp_path / split / "images" / "a.jpg")
        touch(tmp_path / split / "images" / "b.jpg")
        annotate(tmp_path / split / "rows.jsonl", ("images/a.jpg", "0"), ("images/b.jpg", "00"))
    return tmp_path


def rows(split: Split) -> list[tuple[str, str]]:
    return [(label, path.name) for label, path in zip(split.labels, split.paths, strict=True)]


def test_folder_per_class_keeps_labels_as_written(root: Path) -> None:
    touch(root / "train" / "23" / "game 1" / "deep" / "x.PNG")
    touch(root / "train" / "23" / "notes.txt")
    train = read_splits(root)["train"]
    assert rows(train) == [("0", "0_train.jpg"), ("00", "00_train.jpg"), ("23", "23_train.jpg"), ("23", "x.PNG")]
    assert len(train) == 4
    assert train.counts() == {"0": 1, "00": 1, "23": 2}
    assert all(path.is_file() for path in train.paths)


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".Bmp", ".webp", ".tif", ".tiff", ".gif"])
def test_image_suffixes_in_any_case(root: Path, suffix: str) -> None:
    touch(root / "val" / "0" / f"other{suffix}")
    assert read_splits(root)["val"].counts()["0"] == 2


def test_names_with_spaces_emoji_and_accents(root: Path) -> None:
    names = ["été.jpg", "two words.jpg", "🏀👨\u200d👩.jpg"]
    for name in names:
        touch(root / "train" / "23" / "équipe 🏀" / name)
    assert {path.name for path in read_splits(root)["train"].paths} >= set(names)


def test_hidden_files_and_folders_are_no_classes(root: Path) -> None:
    before = read_splits(root)
    touch(root / "train" / ".thumbnails" / "a.jpg")
    touch(root / "train" / "__MACOSX" / "23" / "a.jpg")
    touch(root / "train" / "23" / "._a.jpg")
    touch(root / "train" / "23" / ".cache" / "a.jpg")
    touch(root / "train" / "._rows.jsonl")
    (root / ".git").mkdir()
    assert read_splits(root) == before


def test_hidden_folder_above_the_root_does_not_hide_it(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    hidden = tmp_path_factory.mktemp("cache") / ".cache"
    shutil.copytree(root, hidden)
    assert len(read_splits(hidden)["train"]) == 3


def test_links_to_class_folders_are_followed_and_loops_end(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = touch(tmp_path_factory.mktemp("elsewhere") / "a.jpg").parent
    (root / "train" / "7").symlink_to(elsewhere)
    (root / "train" / "23" / "loop").symlink_to(root / "train")
    (root / "train" / "8").symlink_to(root / "train" / "8")
    assert read_splits(root)["train"].counts() == {"0": 1, "00": 1, "23": 1, "7": 1}


def test_annotations_are_recognised_and_merged_relative_to_their_file(annotated: Path) -> None:
    touch(annotated / "train" / "more" / "c.jpg")
    annotate(annotated / "train" / "more" / "rows.JSONL", ("c.jpg", "01"), ("../images/a.jpg", "0"))
    train = read_splits(annotated)["train"]
    assert rows(train) == [("0", "a.jpg"), ("00", "b.jpg"), ("01", "c.jpg")]
    assert all(path.is_file() and ".." not in path.parts for path in train.paths)


def test_each_split_has_its_own_layout(annotated: Path) -> None:
    shutil.rmtree(annotated / "test")
    touch(annotated / "test" / "0" / "z.jpg")
    assert rows(read_splits(annotated)["test"]) == [("0", "z.jpg")]


def test_both_layouts_give_the_same_rows_in_the_same_order(tmp_path: Path) -> None:
    names = {"0": ["b.jpg", "a.jpg", "10.jpg", "2.jpg"], "00": ["b2.jpg", "B.jpg"], "9": ["z.jpg"], "10": ["é.jpg"]}
    folders, annotations = tmp_path / "folders", tmp_path / "annotations"
    for split in SPLITS:
        listing = []
        for label, files in names.items():
            for index, name in enumerate(files):
                touch(folders / split / label / f"game{index % 2}" / name)
                touch(annotations / split / "crops" / name)
                listing.append((f"crops/{name}", label))
        annotate(annotations / split / "1.jsonl", *reversed(listing[3:]))
        annotate(annotations / split / "2.jsonl", *listing[:3])
    assert {name: rows(split) for name, split in read_splits(folders).items()} == {
        name: rows(split) for name, split in read_splits(annotations).items()
    }


def test_order_is_total_for_equal_names(root: Path) -> None:
    for folder in ("game2", "game1"):
        touch(root / "train" / "0" / folder / "same.jpg")
    same = [path.parent.name for path in read_splits(root)["train"].paths if path.name == "same.jpg"]
    assert same == ["game1", "game2"]


def test_repeated_rows_count_once_and_blank_lines_not_at_all(annotated: Path) -> None:
    annotate(annotated / "train" / "again.jsonl", ("images/a.jpg", "0"), ("./images/../images/a.jpg", "0"))
    with (annotated / "train" / "again.jsonl").open("a") as file:
        file.write("\n   \r\n")
    assert read_splits(annotated)["train"].counts() == {"0": 1, "00": 1}


def test_byte_order_mark_and_unicode_line_separators(annotated: Path) -> None:
    touch(annotated / "train" / "images" / "a\u2028b.jpg")
    text = json.dumps({"image": "images/a\u2028b.jpg", "suffix": "5"}, ensure_ascii=False)
    (annotated / "train" / "windows.jsonl").write_text(text + "\r\n", encoding="utf-8-sig")
    assert "5" in read_splits(annotated)["train"].counts()


def test_an_image_marked_unreadable_is_left_out_unless_another_row_gives_its_number(annotated: Path) -> None:
    touch(annotated / "train" / "images" / "c.jpg")
    annotate(annotated / "train" / "0.jsonl", ("images/c.jpg", ""), ("images/a.jpg", ""), ("images/c.jpg", ""))
    splits = read_splits(annotated)
    assert rows(splits["train"]) == [("0", "a.jpg"), ("00", "b.jpg")]
    assert splits["train"].unreadable == 2
    assert splits["val"].unreadable == 0


def test_links_to_images_outside_the_root_are_fine(annotated: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = touch(tmp_path_factory.mktemp("outside") / "c.jpg")
    (annotated / "train" / "c.jpg").symlink_to(outside)
    annotate(annotated / "train" / "c.jsonl", ("c.jpg", "3"))
    assert "3" in read_splits(annotated)["train"].counts()


def refusal(root: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_splits(root)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_missing_root_and_root_that_is_a_file(tmp_path: Path) -> None:
    assert f"{tmp_path / 'nowhere'} does not exist" in refusal(tmp_path / "nowhere")
    assert "is a file" in refusal(touch(tmp_path / "file.zip"))
    assert "does not exist" in refusal(tmp_path / ("long" * 200))


def test_missing_split_names_it_and_what_is_there(root: Path) -> None:
    (root / "val").rename(root / "valid")
    message = refusal(root)
    assert "no folder val" in message
    assert "it has test, train, valid" in message


def test_empty_splits(root: Path) -> None:
    shutil.rmtree(root / "test")
    (root / "test" / "23").mkdir(parents=True)
    assert "the test split is empty" in refusal(root)
    (root / "test" / "rows.jsonl").write_text("\n")
    assert "the test split is empty" in refusal(root)


def test_image_outside_a_class_folder(root: Path) -> None:
    stray = touch(root / "train" / "stray.jpg")
    assert str(stray) in refusal(root)


@pytest.mark.parametrize("name", [" 23", "23\u200b", "2\n3"])
def test_class_folder_that_only_looks_like_a_number(root: Path, name: str) -> None:
    touch(root / "train" / name / "a.jpg")
    with pytest.raises(UserError, match="the label") as caught:
        read_splits(root)
    assert repr(name) in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes only there")
def test_file_name_that_is_not_utf8(root: Path) -> None:
    folder = os.fsencode(root / "train" / "23")
    try:
        os.close(os.open(folder + b"/caf\xe9.jpg", os.O_CREAT))
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    assert r"caf\udce9.jpg" in refusal(root)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_without_permission(root: Path) -> None:
    folder = root / "train" / "23"
    folder.chmod(0)
    try:
        assert f"cannot list the folder {folder}" in refusal(root)
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"image": "images/a.jpg", "suffix": "0"', "not a JSON object"),
        (b"[" * 100_000, "not a JSON object"),
        (b'["images/a.jpg", "0"]', "not a row like"),
        (b'{"image": "images/a.jpg"}', "not a row like"),
        (b'{"image": "images/a.jpg", "suffix": 0}', "label 0 is not a string"),
        (b'{"image": "images/a.jpg", "suffix": null}', "label None is not a string"),
        (b'{"image": "images/a.jpg", "suffix": "0 "}', "'0 ' has white space"),
        (b'{"image": "images/a.jpg", "suffix": "\\ud800"}', r"'\ud800' has characters"),
        (b'{"image": 7, "suffix": "0"}', "image 7 is not the path"),
        (b'{"image": "", "suffix": "0"}', "image '' is not the path"),
        (b'{"image": "/etc/a.jpg", "suffix": "0"}', "'/etc/a.jpg' lies outside"),
        (b'{"image": "images/../../../a.jpg", "suffix": "0"}', "'images/../../../a.jpg' lies outside"),
        (b'{"image": "images/a.jpg", "suffix": "\xe9"}', "not UTF-8"),
    ],
)
def test_bad_annotation_lines_are_named_by_file_and_line(annotated: Path, line: bytes, complaint: str) -> None:
    file = annotated / "train" / "rows.jsonl"
    file.write_bytes(file.read_bytes() + b"\n" + line + b"\n")
    message = refusal(annotated)
    assert message.startswith(f"{file}:4: ")
    assert complaint in message


def test_an_image_with_two_labels_names_both(annotated: Path) -> None:
    annotate(annotated / "train" / "zzz.jsonl", ("images/a.jpg", "00"))
    message = refusal(annotated)
    assert str(annotated / "train" / "images" / "a.jpg") in message
    assert "'0' and '00'" in message


def test_missing_images_are_counted_and_three_named(annotated: Path) -> None:
    names = ["images", "n1.jpg", "n2.jpg", "n\0.jpg", "long" * 100]
    annotate(annotated / "train" / "lost.jsonl", *((name, "0") for name in names))
    with pytest.raises(UserError, match=r"5 images .* do not exist: .*images, .*, .*, and 2 more;"):
        read_splits(annotated)


def split_of(*labels: str, name: str = "train") -> Split:
    return Split(name, Paths(f"{index}.jpg" for index in range(len(labels))), labels)


def test_label_map_comes_from_train_alone() -> None:
    splits = {"train": split_of("10", "0", "00", "0"), "val": split_of("00", name="val")}
    assert label_map(splits) == Labels.from_names(["0", "00", "10"])
    assert missing_labels(splits["val"], label_map(splits)) == ("0", "10")


def test_pinned_order_is_kept() -> None:
    splits = {"train": split_of("0", "00")}
    assert label_map(splits, pinned=["7", "00", "0"]).names == ("7", "00", "0")
    with pytest.raises(UserError, match="the train split has labels that the pinned label map lacks: 0;"):
        label_map(splits, pinned=["00", "000"])


def test_label_unknown_to_train_is_named_with_its_split() -> None:
    splits = {"train": split_of("0", "1"), "val": split_of("0", name="val"), "test": split_of("00", "1", name="test")}
    with pytest.raises(UserError, match="the test split has labels that the train split lacks: 00;"):
        label_map(splits)


@pytest.mark.parametrize("pinned", [None, ["5"], []])
def test_one_class_is_not_enough(pinned: list[str] | None) -> None:
    with pytest.raises(UserError, match="fewer than two classes"):
        label_map({"train": split_of("5", "5")}, pinned=pinned)


def test_paths_are_a_sequence_of_paths() -> None:
    texts = ["/a/0.jpg", "/a/00.jpg", "/b/1.jpg"]
    paths = Paths(texts)
    assert list(paths) == [Path(text) for text in texts]
    assert paths[np.int64(1)] == Path("/a/00.jpg")
    assert list(paths[1:]) == [Path(text) for text in texts[1:]]
    assert paths == Paths(iter(texts)) != Paths(texts[1:])
    assert hash(paths) == hash(Paths(texts))
    assert Path("/b/1.jpg") in paths
