"""Illegible crops in the index and in the data module: where they lie, what uses them, and what is told of them.

Shapes: N crops of a split.
"""

import logging
from collections import Counter
from pathlib import Path

import pytest
from helpers.dirty_tree import LABELS, LAYOUTS, Layout, Tree, crop, encoded

from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_INDEX, SPLITS
from jersey.data.datamodule import JerseyDataModule
from jersey.data.index import read_splits
from jersey.data.split import Illegible, label_map
from jersey.data.supplement import SyntheticSupplement

UNREADABLE_EACH = {"train": 4, "val": 3, "test": 2}


def with_illegible(root: Path, layout: Layout) -> Tree:
    tree = Tree(root, layout).fill()
    for split, count in UNREADABLE_EACH.items():
        for number in range(count):
            seed = 2000 + 10 * SPLITS.index(split) + number
            tree.add(split, ILLEGIBLE, encoded(crop("0", seed), "PNG"), name=f"0_{number}.png")
    return tree


@pytest.fixture(params=LAYOUTS)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    return with_illegible(tmp_path / "crops", request.param)


def opened(tree: Tree, **settings: object) -> JerseyDataModule:
    data = JerseyDataModule(str(tree.root), seed=0, size_px=(16, 16), batch_size=2, **settings)  # type: ignore[arg-type]
    data.setup()
    return data


def test_they_are_the_last_rows_and_no_label(tree: Tree) -> None:
    splits = read_splits(tree.root)
    assert label_map(splits).names == LABELS
    with pytest.raises(UserError, match="has 'illegible', which is no class"):
        label_map(splits, pinned=(*LABELS, "illegible"))
    for name, split in splits.items():
        assert split.labels == (*LABELS, *[ILLEGIBLE] * UNREADABLE_EACH[name])
        assert split.illegible == UNREADABLE_EACH[name]
        assert split.counts() == dict.fromkeys(LABELS, 1)
        assert split.legible().labels == LABELS
        assert list(split.legible().paths) == list(split.paths)[: len(LABELS)]


def test_rows_that_are_picked_stay_together(tree: Tree) -> None:
    train = read_splits(tree.root)["train"]
    picked = train.only([5, 1])
    assert list(picked.paths) == [train.paths[5], train.paths[1]]
    assert picked.labels == (ILLEGIBLE, "00")
    assert picked.tracklets == ("", "")


@pytest.mark.parametrize(
    ("illegible", "left"),
    [("train", UNREADABLE_EACH), ("score", UNREADABLE_EACH | {"train": 0}), ("drop", dict.fromkeys(SPLITS, 0))],
)
def test_what_is_not_used_is_left_out_and_told(
    tree: Tree, caplog: pytest.LogCaptureFixture, illegible: Illegible, left: dict[str, int]
) -> None:
    with caplog.at_level(logging.INFO, logger="jersey"):
        data = opened(tree, illegible=illegible)
    for name in SPLITS:
        expected = [0, 1, 2, *[ILLEGIBLE_INDEX] * left[name]]
        assert data.decoded[name].labels_N.tolist() == expected
        assert len(data.splits[name]) == len(data.image_meta[name]) == len(expected)
    told = [record.getMessage() for record in caplog.records if "leaves out" in record.getMessage()]
    gone = [f"{count} of {name}" for name, count in UNREADABLE_EACH.items() if not left[name]]
    assert told == ([f"data.illegible={illegible} leaves out illegible crops: {', '.join(gone)}"] if gone else [])
    assert data.class_counts == [1, 1, 1]


def test_by_default_they_are_trained_and_nothing_is_told(tree: Tree, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="jersey"):
        data = opened(tree)
    drawn = Counter(int(label) for batch in data.train_dataloader() for label in batch["labels"])
    assert drawn[ILLEGIBLE_INDEX] >= UNREADABLE_EACH["train"] - 1, "one crop more than is in full batches"
    assert "illegible" not in caplog.text


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_split_of_illegible_crops_alone_is_empty(tmp_path: Path, layout: Layout) -> None:
    tree = Tree(tmp_path, layout)
    for split, label in (("train", "0"), ("val", "0"), ("test", ILLEGIBLE)):
        tree.add(split, label, b"")
    with pytest.raises(UserError, match="the test split is empty: no labeled image"):
        read_splits(tree.root)


def test_drawn_crops_of_rare_numbers_come_after_them_in_no_track(tmp_path: Path) -> None:
    tree = with_illegible(tmp_path / "crops", "folders")
    (tree.root / "train" / "00" / "p7").mkdir()
    (tree.root / "train" / "00" / "p7" / "a.jpg").write_bytes(b"")
    train = read_splits(tree.root)["train"]
    filled = SyntheticSupplement(folder=str(tmp_path / "rare"), min_per_class=3).added_to(train)
    assert filled.labels == (*train.labels, "0", "0", "00", "01", "01")
    assert filled.tracklets == (*train.tracklets, *[""] * 5)
    assert "00/p7" in train.tracklets
