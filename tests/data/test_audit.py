"""Faults of a data set that are not copies: each is listed, with its place, and none hides another."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.dirty_tree import LABELS, LAYOUTS, Layout, Tree, crop, encoded

from jersey.core.errors import UserError
from jersey.core.labels import SPLITS
from jersey.data.audit import Audit, Row, audit_folder, fast_audit
from jersey.data.audit.survey import read_all
from jersey.data.decode import PICTURE, BadImage, decode_all
from jersey.data.index import read_splits
from jersey.data.problems import Skipped

GOOD = encoded(crop("00", 300), quality=90)
PNG = encoded(crop("00", 301), "PNG")
DAMAGED = {
    "empty": (b"", "is empty"),
    "text": (b"no image at all", "is not an image of a known kind"),
    "header cut": (GOOD[:15], "cannot be decoded"),
    "half": (GOOD[: len(GOOD) // 2], "cannot be decoded"),
    "end cut": (GOOD[:-200], "cannot be decoded"),
    "half png": (PNG[: len(PNG) // 2], "cannot be decoded"),
}


def sentences(audit: Audit, kind: str) -> list[str]:
    return [each.sentence for each in audit.findings if each.kind == kind]


def kinds(audit: Audit) -> list[str]:
    return [each.kind for each in audit.findings]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path, "folders").fill()


@pytest.fixture
def annotated(tmp_path: Path) -> Tree:
    return Tree(tmp_path, "annotations").fill()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_good_data_set_has_no_findings(tmp_path: Path, layout: Layout) -> None:
    audit = audit_folder(Tree(tmp_path, layout).fill().root)
    assert audit.findings == ()
    assert len(audit.rows) == len(SPLITS) * len(LABELS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_damaged_file_is_named_with_its_reason(tmp_path: Path, layout: Layout) -> None:
    tree = Tree(tmp_path, layout).fill()
    planted = {tree.add("val", "00", content): reason for content, reason in DAMAGED.values()}
    findings = audit_folder(tmp_path).findings
    assert {each.rows for each in findings} == {(row,) for row in planted}
    for each in findings:
        (row,) = each.rows
        assert (each.kind, each.severity) == ("bad image", "error")
        assert each.sentence.startswith(f"{row.image} {planted[row]}")


def test_fast_finds_damaged_headers_and_no_damaged_pixels(tree: Tree) -> None:
    for content, _ in DAMAGED.values():
        tree.add("val", "00", content)
    assert len(sentences(audit_folder(tree.root, fast=True), "bad image")) == 3


def test_annotated_images_that_do_not_exist_or_are_no_files(annotated: Tree) -> None:
    folder = annotated.root / "train" / "images"
    (folder / "folder.jpg").mkdir()
    (folder / "nowhere.jpg").symlink_to("gone.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(folder / "pipe.jpg")
    names = ["folder.jpg", "nowhere.jpg", "loop.jpg", "pipe.jpg", "absent.jpg"]
    for name in names:
        annotated.annotate("train", {"image": f"images/{name}", "suffix": "0"})
    audit = audit_folder(annotated.root)
    assert sorted(sentences(audit, "bad image")) == [
        "train/images/absent.jpg does not exist",
        "train/images/folder.jpg is not a file",
        "train/images/loop.jpg cannot be read (Too many levels of symbolic links)",
        "train/images/nowhere.jpg does not exist",
        "train/images/pipe.jpg is not a file",
    ]
    assert len(audit.findings) == len(names)


def test_links_that_loop_end_and_hide_nothing(tree: Tree) -> None:
    (tree.root / "train" / "0" / "loop").symlink_to(tree.root / "train")
    (tree.root / "train" / "8").symlink_to(tree.root / "train" / "8")
    assert audit_folder(tree.root).findings == ()


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder for a tree, in a process that is not root while permissions are tried."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root = os.geteuid() == 0
    try:
        audit_folder(Tree(folder / "warm", "folders").fill().root)  # what is imported late lies in folders of root
        if root:
            shutil.chown(folder, 65534, 65534)
            os.seteuid(65534)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(folder)


def test_folders_and_files_without_permission_are_listed_and_the_rest_is_read(unprivileged: Path) -> None:
    tree = Tree(unprivileged / "crops", "folders").fill()
    closed = tree.root / "train" / "0" / "closed"
    closed.mkdir()
    secret = tree.add("train", "0", GOOD)
    closed.chmod(0)
    (tree.root / secret.image).chmod(0)
    try:
        audit = audit_folder(tree.root)
    finally:
        closed.chmod(0o755)
    assert kinds(audit) == ["layout", "bad image"]
    assert "train/0/closed: Permission denied" in audit.findings[0].sentence
    assert audit.findings[1].sentence == f"{secret.image} cannot be read (Permission denied)"


def test_one_path_with_two_labels_in_the_annotations(annotated: Tree) -> None:
    row = annotated.add("train", "0", GOOD, name="twice.jpg")
    annotated.annotate("train", {"image": "images/twice.jpg", "suffix": "00"})
    annotated.annotate("train", {"image": "images/twice.jpg", "suffix": "0"})
    (found,) = audit_folder(annotated.root).findings
    assert found.kind == "two labels"
    assert found.rows == (row, row._replace(label="00"))
    assert "0 and 00 in train (one file): train/images/twice.jpg (0), train/images/twice.jpg (00)" in found.sentence


def test_all_faults_of_annotation_files_are_listed_with_their_lines(annotated: Tree) -> None:
    bad = ["{", '["a", "b"]', '{"image": "images/0001.jpg"}', '{"image": "images/0001.jpg", "suffix": 0}']
    bad += ['{"image": "../../a.jpg", "suffix": "0"}', '{"image": "images/0001.jpg", "suffix": "0 "}']
    for line in bad:
        annotated.annotate("train", line)
    (annotated.root / "val" / "other.jsonl").write_bytes(b"\xff\n")
    listed = sentences(audit_folder(annotated.root), "layout")
    first = len(LABELS) + 1
    for number in range(first, first + len(bad)):
        assert sum(each.startswith(f"train/rows.jsonl:{number}: ") for each in listed) == 1
    assert any(each.startswith("val/other.jsonl:1: not UTF-8") for each in listed)
    assert len(listed) == len(bad) + 1


def test_faults_of_folders_are_listed_together(tree: Tree) -> None:
    shutil.rmtree(tree.root / "val")
    shutil.rmtree(tree.root / "test")
    (tree.root / "test" / "00").mkdir(parents=True)
    (tree.root / "train" / "stray.jpg").write_bytes(GOOD)
    tree.add("train", "7 ", GOOD)
    audit = audit_folder(tree.root)
    assert set(kinds(audit)) == {"layout"}
    for words in ("no folder val", "the test split is empty", "train/stray.jpg lies in no class", "'7 ' has white"):
        assert sum(words in each for each in sentences(audit, "layout")) == 1
    assert str(tree.root) not in "".join(
        each.replace(f"data folder {tree.root}", "") for each in sentences(audit, "layout")
    )


def test_labels_are_compared_as_strings(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "folders")
    for seed, (split, label) in enumerate(
        [("train", "0"), ("train", "01"), ("val", "0"), ("val", "00"), ("test", "1")]
    ):
        tree.add(split, label, encoded(crop("01", 400 + seed), quality=90))
    audit = audit_folder(tmp_path)
    assert sentences(audit, "unknown label") == ["val has images of 00 (1)", "test has images of 1 (1)"]
    assert sentences(audit, "missing label") == [
        "val has no image of 1 of 2 labels: 01",
        "test has no image of 2 of 2 labels: 0, 01",
    ]
    assert [each.kind for each in audit.errors] == ["unknown label"] * 2


def of_a_run(root: Path, labels: tuple[str, ...] | None = None) -> Audit:
    splits = read_splits(root)
    pictures = {
        name: decode_all(split.paths, keep=lambda row, pixels: None, description="test")[0]
        for name, split in splits.items()
    }
    return fast_audit(root, splits, pictures, skipped={}, labels=labels)


def test_a_pinned_label_map_takes_the_place_of_the_train_labels(tree: Tree) -> None:
    audit = of_a_run(tree.root, labels=("0", "00", "01", "unreadable"))
    assert sentences(audit, "missing label") == [
        f"{split} has no image of 1 of 4 labels: unreadable" for split in SPLITS
    ]
    assert audit.errors == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_unreadable_crops_are_counted_apart_and_are_no_label_astray(tmp_path: Path, layout: Layout) -> None:
    tree = Tree(tmp_path, layout).fill()
    for seed in (400, 401):
        tree.add("val", "", encoded(crop("0", seed)))
    audit = audit_folder(tree.root)
    assert audit.findings == ()
    assert json.loads(audit.to_json())["unreadable"] == {"train": 0, "val": 2, "test": 0}
    assert "" not in json.loads(audit.to_json())["counts"]["val"]
    lines = [line.split() for line in audit.tables().splitlines()]
    assert lines[len(LABELS) + 3] == ["unreadable", "-", "2", "-", "2"]
    assert lines[len(LABELS) + 1] == ["total", *["3"] * 3, "9"]
    assert lines[len(LABELS) + 2] == ["labels", *["3"] * 4]


def test_a_picture_with_a_number_and_without_one_is_named_in_words(annotated: Tree) -> None:
    same = encoded(crop("0", 400))
    annotated.add("train", "0", same)
    annotated.add("test", "", same)
    (found,) = audit_folder(annotated.root).findings
    assert found.kind == "two labels"
    assert found.sentence.startswith("0 and unreadable in train and test")
    assert "(unreadable)" in found.sentence


def test_tables_show_counts_and_sizes(tree: Tree) -> None:
    wide = crop("0", 500).resize((200, 30)).convert("L")
    tree.add("train", "0", encoded(wide, "PNG"))
    lines = [line.split() for line in audit_folder(tree.root).tables().splitlines()]
    assert ["label", "train", "val", "test", "all"] in lines
    assert ["0", "2", "1", "1", "4"] in lines
    assert ["total", "4", "3", "3", "10"] in lines
    assert ["train", "80", "80", "200", "30", "80", "80", "JPEG", "RGB", "3,", "PNG", "L", "1"] in lines


def test_a_table_of_many_labels_has_a_line_for_each_and_stays_aligned(tmp_path: Path) -> None:
    tree, labels = Tree(tmp_path, "folders"), ["0", "00", *map(str, range(1, 42))]
    for index, label in enumerate(labels):
        for split in SPLITS[: 1 + index % 3]:
            tree.add(split, label, b"")
    text = audit_folder(tmp_path, fast=True).tables().split("\n\n")[0]
    assert [line.split()[0] for line in text.splitlines()[1:-2]] == sorted(labels, key=lambda name: (len(name), name))
    assert len({len(line) for line in text.splitlines()}) == 1


def test_long_lists_are_cut_in_the_text_and_whole_in_the_json(tree: Tree) -> None:
    for _ in range(50):
        tree.add("train", "0", b"")
    audit = audit_folder(tree.root)
    assert "and 40 more" in audit.text(most=10)
    assert len(audit.text(most=10).splitlines()) < 40
    assert len(json.loads(audit.to_json())["findings"]) == 50


def test_names_in_any_script_and_with_line_breaks_stay_on_their_line(tree: Tree) -> None:
    names = ["été 🏀.jpg", "数字.jpg", "two\nlines.jpg", "a\u2028b.jpg"]
    for name in names:
        tree.add("train", "0", b"", name=name)
    text = audit_folder(tree.root).text()
    for name in (
        "train/0/été 🏀.jpg is",
        "train/0/数字.jpg is",
        r"train/0/two\nlines.jpg has a name",
        r"train/0/a\u2028b.jpg has a name",
    ):
        assert any(line.strip().startswith(name) for line in text.splitlines())


def test_a_file_name_that_is_not_utf8_can_be_written(tree: Tree) -> None:
    try:
        (Path(os.fsdecode(os.fsencode(tree.root) + b"/train/0/caf\xe9.jpg"))).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    audit = audit_folder(tree.root)
    (found,) = audit.findings
    assert (
        found.sentence
        == r"train/0/caf\udce9.jpg has a name that cannot be shown, with control characters or not in UTF-8"
    )
    assert r"caf\udce9.jpg" in audit.text()
    audit.text().encode(), audit.to_json().encode()


def test_the_fast_audit_of_a_run_finds_copies_byte_for_byte_only(tree: Tree) -> None:
    image = crop("0", 600)
    rows = tree.add("train", "0", encoded(image, quality=90)), tree.add("test", "0", encoded(image, quality=90))
    tree.add("val", "0", encoded(image, quality=60))
    (found,) = of_a_run(tree.root).findings
    assert (found.kind, found.rows) == ("leak", rows)
    assert of_a_run(tree.root) == audit_folder(tree.root, fast=True)


def test_what_a_run_goes_without_is_found_as_unreadable(tree: Tree) -> None:
    path = tree.root / "val" / "00" / "bad.jpg"
    skipped = {"train": [], "val": [Skipped("00", BadImage(path, "is empty"))], "test": []}
    splits = read_splits(tree.root)
    pictures = {name: np.zeros(len(split), PICTURE) for name, split in splits.items()}
    (found,) = (
        each for each in fast_audit(tree.root, splits, pictures, skipped=skipped).findings if each.kind == "bad image"
    )
    assert found.rows == (Row("val", "00", "val/00/bad.jpg"),)
    assert found.sentence == "val/00/bad.jpg is empty"


def test_paths_are_relative_when_the_root_is(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree.root.parent)
    root = Path(tree.root.name)
    tree.add("train", "0", encoded(crop("0", 600)))
    tree.add("val", "0", encoded(crop("0", 600)))
    for audit in (audit_folder(root, fast=True), of_a_run(root)):
        assert audit.findings[0].rows[0].image.startswith("train/0/")


def test_processes_read_the_same_in_the_same_order(tree: Tree) -> None:
    paths = [tree.root / tree.add("train", "0", content).image for content, _ in DAMAGED.values()]
    paths = [*read_splits(tree.root)["train"].paths, *paths] * 6
    alone, together = (list(read_all(paths, fast=False, workers=workers)) for workers in (1, 2))
    assert [_plain(each) for each in together] == [_plain(each) for each in alone]


def _plain(reading: object) -> object:
    if not isinstance(reading, tuple):
        return reading
    picture, look = reading
    return picture, look.hash, look.mirrored, look.thumb_TTC.tolist()


def test_a_folder_without_any_split_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder train, val, test"):
        audit_folder(tmp_path)
