"""The audit lists every fault of a data set (other than copies) with its place, and no fault hides another."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.dirty_tree import LABELS, LAYOUTS, Layout, Tree, crop, encoded

from jersey.core.errors import UserError
from jersey.core.labels import SPLITS
from jersey.data.audit import Audit, AuditRow, audit_folder, fast_audit
from jersey.data.decode import IMAGE_META, BadImage, decode_all
from jersey.data.index import read_index
from jersey.data.problems import Skipped

GOOD = encoded(crop("00", 300), quality=90)
PNG = encoded(crop("00", 301), "PNG")
DAMAGED = {
    b"": "is empty",
    b"no image at all": "is not an image in a supported format",
    GOOD[:15]: "cannot be decoded",
    GOOD[: len(GOOD) // 2]: "cannot be decoded",
    GOOD[:-200]: "cannot be decoded",
    PNG[: len(PNG) // 2]: "cannot be decoded",
}


def sentences(audit: Audit, kind: str) -> list[str]:
    return [each.sentence for each in audit.findings if each.kind == kind]


def run_audit(root: Path, labels: tuple[str, ...] | None = None) -> Audit:
    """Audits a data set as every run does."""
    index = read_index(root)
    splits = index.splits
    image_meta = {name: decode_all(split.paths, None, description="test")[0] for name, split in splits.items()}
    return fast_audit(index, splits, image_meta, skipped={}, labels=labels)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path, "folders").fill()


@pytest.fixture
def annotated(tmp_path: Path) -> Tree:
    return Tree(tmp_path, "annotations").fill()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_exactly_the_damaged_files_are_listed_with_their_reasons(tmp_path: Path, layout: Layout) -> None:
    tree = Tree(tmp_path, layout).fill()
    assert audit_folder(tree.root).findings == ()
    planted = {tree.add("val", "00", content): reason for content, reason in DAMAGED.items()}
    audit = audit_folder(tmp_path)
    assert len(audit.rows) == len(SPLITS) * len(LABELS) + len(planted)
    assert {each.rows for each in audit.findings} == {(row,) for row in planted}
    for each in audit.findings:
        (row,) = each.rows
        assert (each.kind, each.severity) == ("bad_image", "error")
        assert each.sentence.startswith(f"{row.image} {planted[row]}")
    assert len(sentences(audit_folder(tree.root, fast=True), "bad_image")) == 3, "from headers alone"


def test_annotated_images_that_do_not_exist_or_are_not_files_are_bad_images(annotated: Tree) -> None:
    folder = annotated.root / "train" / "images"
    (folder / "folder.jpg").mkdir()
    (folder / "nowhere.jpg").symlink_to("gone.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(folder / "pipe.jpg")
    reasons = {
        "absent": "does not exist",
        "folder": "is not a file",
        "loop": "cannot be read (Too many levels of symbolic links)",
        "nowhere": "does not exist",
        "pipe": "is not a file",
    }
    for name in reasons:
        annotated.annotate("train", {"image": f"images/{name}.jpg", "suffix": "0"})
    audit = audit_folder(annotated.root)
    assert sorted(sentences(audit, "bad_image")) == [f"train/images/{name}.jpg {why}" for name, why in reasons.items()]
    assert len(audit.findings) == len(reasons)


def test_a_folder_that_cannot_be_listed_is_reported_and_the_rest_is_read(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, scandir = str(tree.root / "train" / "0"), os.scandir

    def refused(path: str) -> object:
        if path == closed:  # as the system does, except for root
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    audit = audit_folder(tree.root)
    assert "the folder train/0: Permission denied" in str(audit.findings[0])
    assert len(audit.rows) == len(SPLITS) * len(LABELS) - 1


def test_one_path_with_two_labels_in_the_annotations_is_one_finding(annotated: Tree) -> None:
    row = annotated.add("train", "0", GOOD, name="twice.jpg")
    for label in ("00", "0"):
        annotated.annotate("train", {"image": "images/twice.jpg", "suffix": label})
    (found,) = audit_folder(annotated.root).findings
    assert (found.kind, found.rows) == ("conflicting_labels", (row, row._replace(label="00")))
    assert found.severity == "error"
    assert "0 and 00 in train (one file): train/images/twice.jpg (0), train/images/twice.jpg (00)" in found.sentence


def test_all_faults_of_annotation_files_are_listed_with_their_lines(annotated: Tree) -> None:
    bad = ["{", '["a", "b"]', '{"image": "images/0001.jpg"}', '{"image": "images/0001.jpg", "suffix": true}']
    bad += ['{"image": "../../a.jpg", "suffix": "0"}', '{"image": "images/0001.jpg", "suffix": "0 "}']
    for line in bad:
        annotated.annotate("train", line)
    (annotated.root / "val" / "other.jsonl").write_bytes(b"\xff\n")
    listed = sentences(audit_folder(annotated.root), "layout")
    first = len(LABELS) + 1
    starts = [f"train/rows.jsonl:{number}: " for number in range(first, first + len(bad))]
    for start in [*starts, "val/other.jsonl:1: not UTF-8"]:
        assert sum(each.startswith(start) for each in listed) == 1
    assert len(listed) == len(bad) + 1


def test_faults_of_folders_are_listed_together_and_relative_to_the_root(tree: Tree) -> None:
    shutil.rmtree(tree.root / "val")
    shutil.rmtree(tree.root / "test")
    (tree.root / "test" / "00").mkdir(parents=True)
    (tree.root / "train" / "stray.jpg").write_bytes(GOOD)
    tree.add("train", "7 ", GOOD)
    audit = audit_folder(tree.root)
    found = sentences(audit, "layout")
    assert len(found) == len(audit.findings)
    for words in ("no folder val", "the test split is empty", "train/stray.jpg is not in a class", "'7 ' has white"):
        assert sum(words in each for each in found) == 1
    text = "".join(found).replace(f"data folder {tree.root}", "").replace(f"prepare {tree.root}", "")
    assert str(tree.root) not in text


def test_a_folder_without_any_split_is_one_error_and_a_missing_folder_raises(tmp_path: Path) -> None:
    assert len(sentences(audit_folder(tmp_path), "layout")) == 1
    with pytest.raises(UserError, match="does not exist"):
        audit_folder(tmp_path / "nowhere")


def test_labels_are_compared_as_strings_with_those_of_train_or_a_pinned_map(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "folders")
    places = [("train", "0"), ("train", "01"), ("val", "0"), ("val", "00"), ("test", "1")]
    for seed, (split, label) in enumerate(places):
        tree.add(split, label, encoded(crop("01", 400 + seed), quality=90))
    audit = audit_folder(tmp_path)
    assert [str(each) for each in audit.errors] == [
        "unknown_label: val has images of 00 (1)",
        "unknown_label: test has images of 1 (1)",
    ]
    assert sentences(audit, "missing_label") == [
        "val has no image of 1 of 2 labels: 01",
        "test has no image of 2 of 2 labels: 0, 01",
    ]
    audit = run_audit(tmp_path, labels=("0", "00", "01", "1"))
    assert audit.errors == []
    assert "val has no image of 2 of 4 labels: 01, 1" in sentences(audit, "missing_label")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_illegible_crops_are_counted_separately_and_are_not_an_unknown_label(tmp_path: Path, layout: Layout) -> None:
    tree = Tree(tmp_path, layout).fill()
    for seed in (400, 401):
        tree.add("val", "", encoded(crop("0", seed)))
    audit = audit_folder(tree.root)
    assert audit.findings == ()
    content = json.loads(audit.to_json())
    assert content["illegible"] == {"train": 0, "val": 2, "test": 0}
    assert "" not in content["counts"]["val"]
    lines = [line.split() for line in audit.tables().splitlines()]
    assert lines[len(LABELS) + 1 : len(LABELS) + 4] == [
        ["total", *["3"] * 3, "9"],
        ["labels", *["3"] * 4],
        ["illegible", "-", "2", "-", "2"],
    ]
    same = encoded(crop("0", 402))
    tree.add("train", "0", same), tree.add("test", "", same)
    (found,) = audit_folder(tree.root).findings
    assert found.sentence.startswith("0 and illegible in train and test")
    assert "(illegible)" in found.sentence


def test_tables_show_counts_and_sizes(tree: Tree) -> None:
    wide = crop("0", 500).resize((200, 30)).convert("L")
    tree.add("train", "0", encoded(wide, "PNG"))
    lines = [line.split() for line in audit_folder(tree.root).tables().splitlines()]
    for line in ("label train val test all", "0 2 1 1 4", "total 4 3 3 10"):
        assert line.split() in lines
    assert ["train", "80", "80", "200", "30", "80", "80", "JPEG", "RGB", "3,", "PNG", "L", "1"] in lines


def test_a_table_of_many_labels_has_a_line_for_each_and_stays_aligned(tmp_path: Path) -> None:
    tree, labels = Tree(tmp_path, "folders"), ["0", "00", *map(str, range(1, 42))]
    for index, label in enumerate(labels):
        for split in SPLITS[: 1 + index % 3]:
            tree.add(split, label, b"")
    text = audit_folder(tmp_path, fast=True).tables().split("\n\n")[0]
    assert [line.split()[0] for line in text.splitlines()[1:-2]] == sorted(labels, key=lambda name: (len(name), name))
    assert len({len(line) for line in text.splitlines()}) == 1
    for index, label in enumerate(labels):
        count = 1 + index % 3
        assert [label, *("1" * count), *("-" * (3 - count)), str(count)] in [line.split() for line in text.splitlines()]


def test_long_lists_are_cut_in_the_text_and_complete_in_the_json(tree: Tree) -> None:
    for _ in range(50):
        tree.add("train", "0", b"")
    audit = audit_folder(tree.root)
    assert "and 40 more" in audit.text(max_per_kind=10)
    assert len(audit.text(max_per_kind=10).splitlines()) < 40
    assert len(json.loads(audit.to_json())["findings"]) == 50


def test_names_in_any_script_or_with_control_characters_stay_on_their_line(tree: Tree) -> None:
    for name in ("été 🏀.jpg", "数字.jpg", "two\nlines.jpg", "a\u2028b.jpg"):
        tree.add("train", "0", b"", name=name)
    shown = ["été 🏀.jpg is empty", "数字.jpg is empty", r"two\nlines.jpg has a name", r"a\u2028b.jpg has a name"]
    try:
        (Path(os.fsdecode(os.fsencode(tree.root) + b"/train/0/caf\xe9.jpg"))).write_bytes(b"")
        shown.append(r"caf\udce9.jpg has a name that cannot be shown, with control characters or not in UTF-8")
    except OSError:
        pass  # this file system takes only UTF-8 names
    audit = audit_folder(tree.root)
    lines = [line.strip() for line in audit.text().splitlines()]
    assert all(any(line.startswith(f"train/0/{name}") for line in lines) for name in shown)
    audit.text().encode(), audit.to_json().encode()


def test_the_fast_audit_of_a_run_finds_identical_copies_only(tree: Tree) -> None:
    image = crop("0", 600)
    rows = tree.add("train", "0", encoded(image, quality=90)), tree.add("test", "0", encoded(image, quality=90))
    tree.add("val", "0", encoded(image, quality=60))
    audit = run_audit(tree.root)
    assert [(each.kind, each.rows) for each in audit.findings] == [("split_leakage", rows)]
    assert audit == audit_folder(tree.root, fast=True)


def test_an_image_that_a_run_skips_is_a_bad_image(tree: Tree) -> None:
    skipped = {"train": [], "val": [Skipped("00", BadImage(tree.root / "val" / "00" / "bad.jpg", "is empty"))]}
    index = read_index(tree.root)
    splits = index.splits
    image_meta = {name: np.zeros(len(split), IMAGE_META) for name, split in splits.items()}
    audit = fast_audit(index, splits, image_meta, skipped=skipped)
    (found,) = (each for each in audit.findings if each.kind == "bad_image")
    assert found.rows == (AuditRow("val", "00", "val/00/bad.jpg"),)
    assert found.sentence == "val/00/bad.jpg is empty"


def test_paths_are_relative_to_a_relative_root(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree.root.parent)
    root = Path(tree.root.name)
    for split in ("train", "val"):
        tree.add(split, "0", encoded(crop("0", 600)))
    for audit in (audit_folder(root, fast=True), run_audit(root)):
        assert audit.findings[0].rows[0].image.startswith("train/0/")
