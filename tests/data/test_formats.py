"""Annotation files: how they are read, and the errors that refuse them."""

import json
from pathlib import Path

import pytest
from helpers.index_tree import annotate, annotated_tree, read_error, rows, touch

from jersey.core.labels import ILLEGIBLE
from jersey.data.formats import csv_rows, parse_row
from jersey.data.index import read_splits


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    return annotated_tree(tmp_path)


def test_annotations_are_recognized_and_merged_relative_to_their_file(annotated: Path) -> None:
    touch(annotated / "train" / "more" / "c.jpg")
    annotate(annotated / "train" / "more" / "rows.JSONL", ("c.jpg", "01"), ("../images/a.jpg", "0"))
    train = read_splits(annotated)["train"]
    assert rows(train) == [("0", "a.jpg"), ("00", "b.jpg"), ("01", "c.jpg")]
    assert all(path.is_file() and ".." not in path.parts for path in train.paths)


def test_repeated_rows_blank_lines_byte_order_marks_and_unicode_line_separators(annotated: Path) -> None:
    touch(annotated / "train" / "images" / "a\u2028b.jpg")
    annotate(annotated / "train" / "again.jsonl", ("images/a.jpg", "0"), ("./images/../images/a.jpg", "0"))
    text = json.dumps({"image": "images/a\u2028b.jpg", "suffix": "5"}, ensure_ascii=False)
    (annotated / "train" / "windows.jsonl").write_text(text + "\r\n   \r\n", encoding="utf-8-sig")
    assert read_splits(annotated)["train"].counts() == {"0": 1, "00": 1, "5": 1}


def test_an_image_with_an_empty_label_is_illegible_unless_another_row_labels_it(annotated: Path) -> None:
    touch(annotated / "train" / "images" / "c.jpg")
    annotate(annotated / "train" / "0.jsonl", ("images/c.jpg", ""), ("images/a.jpg", ""), ("images/c.jpg", ""))
    annotate(annotated / "train" / "zzz.jsonl", ("images/b.jpg", ""))
    splits = read_splits(annotated)
    assert rows(splits["train"]) == [("0", "a.jpg"), ("00", "b.jpg"), (ILLEGIBLE, "c.jpg")]
    assert splits["train"].illegible == 1
    assert splits["val"].illegible == 0


@pytest.mark.parametrize("key", ["tracklet", "track"])
def test_both_keys_name_the_tracklet_of_an_image(annotated: Path, key: str) -> None:
    line = json.dumps({"image": "images/a.jpg", "suffix": "0", key: "p7"})
    (annotated / "train" / "tracklets.jsonl").write_text(line)
    assert read_splits(annotated)["train"].tracklets == ("p7", "")
    assert parse_row(line, where="here", needs_label=False).tracklet == "p7"


def test_rows_may_name_the_tracklet_of_an_image(annotated: Path) -> None:
    tracklet = "game 1, player 7"
    lines = [
        {"image": "images/c.jpg", "suffix": "", "tracklet": tracklet},
        {"image": "images/a.jpg", "suffix": "0", "tracklet": tracklet},
        {"image": "images/a.jpg", "suffix": "0"},
        {"image": "images/b.jpg", "suffix": "00", "tracklet": ""},
    ]
    (annotated / "train" / "tracklets.jsonl").write_text("\n".join(map(json.dumps, lines)))
    train = read_splits(annotated)["train"]
    assert rows(train) == [("0", "a.jpg"), ("00", "b.jpg"), (ILLEGIBLE, "c.jpg")]
    assert train.tracklets == (tracklet, "", tracklet)
    assert train.tracklets[0] is train.tracklets[2], "one string in memory"


def test_the_error_for_an_image_with_two_labels_or_tracklets_names_both(annotated: Path) -> None:
    annotate(annotated / "train" / "zzz.jsonl", ("images/a.jpg", "00"))
    message = read_error(annotated)
    assert str(annotated / "train" / "images" / "a.jpg") in message
    assert "'0' and '00'" in message
    (annotated / "train" / "zzz.jsonl").unlink()
    lines = [{"image": "images/a.jpg", "suffix": "0", "tracklet": tracklet} for tracklet in ("p7", "p8")]
    (annotated / "train" / "tracklets.jsonl").write_text("\n".join(map(json.dumps, lines)))
    message = read_error(annotated)
    for words in (str(annotated / "train" / "images" / "a.jpg"), "tracklets.jsonl:2", "'p7' and 'p8'"):
        assert words in message


def test_links_to_images_outside_the_root_are_allowed(
    annotated: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = touch(tmp_path_factory.mktemp("outside") / "c.jpg")
    (annotated / "train" / "c.jpg").symlink_to(outside)
    annotate(annotated / "train" / "c.jsonl", ("c.jpg", "3"))
    assert "3" in read_splits(annotated)["train"].counts()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"image": "images/a.jpg", "suffix": "0"', "not a JSON object"),
        (b"[" * 100_000, "not a JSON object"),
        (b'["images/a.jpg", "0"]', "not a row like"),
        (b'{"image": "images/a.jpg"}', "not a row like"),
        (b'{"image": "images/a.jpg", "suffix": true}', "label True is neither text nor a number"),
        (b'{"image": "images/a.jpg", "suffix": ["7"]}', "label ['7'] is neither text nor a number"),
        (b'{"image": "images/a.jpg", "suffix": "0", "number": "0"}', "the columns 'suffix' and 'number' can both be"),
        (b'{"image": "images/a.jpg", "suffix": "0 "}', "'0 ' has white space"),
        (b'{"image": "images/a.jpg", "suffix": "\\ud800"}', r"'\ud800' has characters"),
        (b'{"image": "images/a.jpg", "suffix": "0", "tracklet": 7.5}', "tracklet 7.5 is not a string"),
        (b'{"image": "images/a.jpg", "suffix": "0", "tracklet": ["p7"]}', "tracklet ['p7'] is not a string"),
        (b'{"image": "images/a.jpg", "suffix": "0", "tracklet": " p7"}', "tracklet ' p7' has white space"),
        (b'{"image": "images/a.jpg", "suffix": "%s"}' % (b"7" * 81), "7...' has more than 80 characters"),
        (b'{"image": 7, "suffix": "0"}', "image 7 is not the path"),
        (b'{"image": "", "suffix": "0"}', "image '' is not the path"),
        (b'{"image": "a\\u0000.jpg", "suffix": "0"}', r"image 'a\x00.jpg' is not the path"),
        (b'{"image": "/etc/a.jpg", "suffix": "0"}', "'/etc/a.jpg' lies outside"),
        (b'{"image": "images/../../../a.jpg", "suffix": "0"}', "'images/../../../a.jpg' lies outside"),
        (b'{"image": "C:\\\\crops\\\\a.jpg", "suffix": "0"}', "is an absolute path of Windows"),
        (b'{"image": "images/a.jpg", "suffix": "\xe9"}', "not UTF-8"),
    ],
)
def test_bad_annotation_lines_are_named_by_file_and_line(annotated: Path, line: bytes, problem: str) -> None:
    file = annotated / "train" / "rows.jsonl"
    file.write_bytes(file.read_bytes() + b"\n" + line + b"\n")
    message = read_error(annotated)
    assert f"{file}:4: " in message
    assert problem in message


def test_missing_images_are_left_to_decoding(annotated: Path) -> None:
    annotate(annotated / "train" / "lost.jsonl", *((name, "0") for name in ("images", "n1.jpg", "long" * 100)))
    assert len(read_splits(annotated)["train"]) == 2 + 3


def test_all_problems_of_all_splits_are_reported_at_once(annotated: Path) -> None:
    (annotated / "train" / "images" / "stray.jsonl").write_text("{\n")
    annotate(annotated / "val" / "more.jsonl", ("images/a.jpg", "0 "), ("images/b.jpg", True), ("../../../a.jpg", "0"))
    (annotated / "test" / "more.jsonl").write_text("1\n2\n3\n")
    message = read_error(annotated)
    assert "7 problems" in message
    words = ["stray.jsonl:1: not a JSON object", "'0 ' has white space", "True is neither", "outside"]
    words += ["test/more.jsonl:1", "and 2 more", f"python -m jersey.data.audit {annotated}"]
    assert all(each in message for each in words)
    assert "test/more.jsonl:2" not in message


@pytest.mark.parametrize("blank", ["", ",,", "   ", " , ,"])
def test_blank_rows_of_a_csv_file_are_no_rows(tmp_path: Path, blank: str) -> None:
    lines = [blank, "image,label,game", "a.png,00,1", blank, blank, "b.png,,2", blank]
    file = tmp_path / "labels.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    assert list(csv_rows(file)) == [
        (f"{file}:3", {"image": "a.png", "label": "00", "game": "1"}),
        (f"{file}:6", {"image": "b.png", "label": "", "game": "2"}),
    ]
