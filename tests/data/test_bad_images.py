"""A data set with unusable images is refused in one sentence, or is trained on correctly without them.

Shapes: B batch.
"""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.dirty_tree import LABELS, Tree, crop, encoded

from jersey.core.errors import UserError
from jersey.core.labels import SPLITS
from jersey.data.audit import AuditRow
from jersey.data.datamodule import JerseyDataModule
from jersey.data.problems import MAX_SHOWN, skipped_summary

SIZE_PX = (24, 16)
GOOD_EACH = 3  # of each label in each split


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Good crops of three labels, whose names begin with their number."""
    tree = Tree(tmp_path / "crops", "folders")
    for split in SPLITS:
        for label in LABELS:
            for number in range(GOOD_EACH):
                seed = 100 * SPLITS.index(split) + 10 * LABELS.index(label) + number
                tree.add(split, label, encoded(crop(label, seed), "PNG"), name=f"{label}_{number}.png")
    return tree


def test_bad_illegible_crops_are_skipped_like_others_even_if_none_is_left(tree: Tree) -> None:
    tree.add("train", "", b"", name="bad.png")
    for number in range(2):
        tree.add("val", "", encoded(crop("0", 500 + number), "PNG"), name=f"{number}.png")
    tree.add("val", "", b"", name="0a.png")
    data = opened(tree)
    assert data.splits["train"].illegible == 0
    assert data.splits["val"].illegible == 2
    assert data.decoded["val"].labels_N.tolist() == [*np.repeat([0, 1, 2], GOOD_EACH), -1, -1]
    assert [each.label for each in data.skipped["train"]] == [""]


def add_bad_files(tree: Tree) -> dict[str, list[AuditRow]]:
    """Adds bad files before, between and after the good ones of each split."""
    first = ("train", "0", b"", "00000.png"), ("train", "00", b"text", "00_1a.png"), ("train", "01", b"", "z.png")
    other = ("val", "00", b"<html>", "00_1a.png"), ("test", "01", b"", "01_0a.png"), ("test", "0", b"", "0_0a.png")
    rows: dict[str, list[AuditRow]] = {split: [] for split in SPLITS}
    for split, label, content, name in (*first, *other):
        rows[split].append(tree.add(split, label, content, name=name))
    return rows


def opened(tree: Tree, *, mode: str = "skip", **settings: object) -> JerseyDataModule:
    settings |= {"seed": 0, "size_px": SIZE_PX, "batch_size": 9, "on_bad_image": mode}
    data = JerseyDataModule(str(tree.root), **settings)  # type: ignore[arg-type]
    data.setup()
    return data


def message(tree: Tree, *, mode: str = "error", **settings: object) -> str:
    with pytest.raises(UserError) as caught:
        opened(tree, mode=mode, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_bad_images_of_all_splits_are_reported_at_once_by_default(tree: Tree) -> None:
    rows = [row for of_split in add_bad_files(tree).values() for row in of_split]
    with pytest.raises(UserError) as caught:
        JerseyDataModule(str(tree.root), seed=0, size_px=SIZE_PX).setup()
    sentence = str(caught.value)
    assert sentence.startswith(f"{len(rows)} of {len(rows) + 9 * GOOD_EACH} images cannot be used: ")
    assert sum(row.image in sentence for row in rows) == MAX_SHOWN
    assert {row.split for row in rows if row.image in sentence} == set(SPLITS)
    for words in (
        f"and {len(rows) - MAX_SHOWN} more;",
        f"`python -m jersey.data.audit {tree.root}`",
        "on_bad_image=skip",
    ):
        assert words in sentence
    assert "\n" not in sentence


def test_skipping_bad_files_equals_their_absence(tree: Tree) -> None:
    clean = opened(tree, mode="error", sampler_power=0.5)
    assert skipped_summary(clean.skipped) == {}
    add_bad_files(tree)
    data = opened(tree, sampler_power=0.5)
    assert data.splits == clean.splits
    assert data.class_counts == clean.class_counts
    assert list(data.train_sampler) == list(clean.train_sampler)
    for split in SPLITS:
        assert torch.equal(data.decoded[split].images_NCHW, clean.decoded[split].images_NCHW)
        assert torch.equal(data.decoded[split].labels_N, clean.decoded[split].labels_N)
        np.testing.assert_array_equal(data.image_meta[split], clean.image_meta[split])


def test_skipped_files_are_recorded_and_reported_once_per_split(tree: Tree, caplog: pytest.LogCaptureFixture) -> None:
    rows = add_bad_files(tree)
    for number in range(MAX_SHOWN):
        rows["train"].append(tree.add("train", "0", b"", name=f"zz{number}.png"))
    with caplog.at_level(logging.WARNING, logger="jersey"):
        data = opened(tree)
        data.setup("test")
    for split, of_split in rows.items():
        skipped = {(each.label, str(each.problem.path.relative_to(tree.root))) for each in data.skipped[split]}
        assert skipped == {(row.label, row.image) for row in of_split}
        (warning,) = (text for text in caplog.messages if text.startswith(f"{split} skips {len(of_split)} of"))
        assert sum(row.image in warning for row in of_split) == min(MAX_SHOWN, len(of_split))
    assert "and 3 more" in caplog.messages[0]
    assert len(caplog.messages) == len(SPLITS)
    assert skipped_summary(data.skipped) == {"skipped images": "8 of train, 1 of val, 2 of test, listed in audit.json"}


def test_crops_cached_in_one_mode_are_correct_in_the_other(tree: Tree) -> None:
    rows = add_bad_files(tree)
    first = opened(tree, cache=".decoded")
    sentence = message(tree, cache=".decoded")
    assert sentence.startswith(f"{sum(map(len, rows.values()))} of")
    again = opened(tree, cache=".decoded")
    for split in SPLITS:
        assert again.splits[split] == first.splits[split]
        assert torch.equal(again.decoded[split].images_NCHW, first.decoded[split].images_NCHW)
        assert {str(each.problem) for each in again.skipped[split]} == {
            str(each.problem) for each in first.skipped[split]
        }
    for row in [*rows["train"], *rows["val"], *rows["test"]]:
        (tree.root / row.image).write_bytes(encoded(crop(row.label, 900), "PNG"))
    repaired = opened(tree, mode="error", cache=".decoded")
    assert len(repaired.decoded["train"]) == len(first.decoded["train"]) + len(rows["train"])


def empty(tree: Tree, pattern: str) -> None:
    for path in tree.root.glob(pattern):
        path.write_bytes(b"")


def test_a_label_without_crops_is_a_warning_and_in_train_an_error(tree: Tree, caplog: pytest.LogCaptureFixture) -> None:
    empty(tree, "val/00/*.png")
    with caplog.at_level(logging.WARNING, logger="jersey"):
        opened(tree)
    assert "val has no crops of 00" in caplog.text
    empty(tree, "train/0[01]/*.png")
    assert "leaves no train crop of 00, 01;" in message(tree, mode="skip")


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_without_a_labeled_image_is_refused(tree: Tree, split: str) -> None:
    empty(tree, f"{split}/**/*.png")
    tree.add(split, "", encoded(crop("0", 500), "PNG"))
    assert f"leaves nothing of the {split} split" in message(tree, mode="skip")


def test_missing_annotated_files_are_bad_images(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "annotations").fill()
    for name in ("absent.jpg", "loop.jpg", "\ud800.jpg"):
        tree.annotate("train", json.dumps({"image": f"images/{name}", "suffix": "0"}))
    (tmp_path / "train" / "images" / "loop.jpg").symlink_to("loop.jpg")
    sentence = message(tree)
    for words in ("absent.jpg does not exist", "symbolic links", r"\ud800.jpg has a name that cannot be shown"):
        assert words in sentence
    assert len(opened(tree, cache=".decoded").decoded["train"]) == len(LABELS)


def test_broken_annotations_are_an_error_even_if_images_are_skipped(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "annotations").fill()
    tree.annotate("val", "{")
    assert "not a JSON object" in message(tree, mode="skip")
