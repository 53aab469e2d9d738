"""Illegible crops in the index and in the data module: their order, their use, and the messages about them.

Shapes: N crops of a split.
"""

import logging
from collections import Counter
from pathlib import Path

import pytest
from helpers.dirty_tree import LABELS, LAYOUTS, Layout, Tree, crop, encoded

from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE, ILLEGIBLE_INDEX, ILLEGIBLE_SPELLINGS, SPLITS
from jersey.data.datamodule import JerseyDataModule
from jersey.data.index import read_splits
from jersey.data.split import Illegible, label_map
from jersey.data.supplement import SyntheticSupplement

ILLEGIBLE_EACH = {"train": 4, "val": 3, "test": 2}


def with_illegible(root: Path, layout: Layout) -> Tree:
    tree = Tree(root, layout).fill()
    for split, count in ILLEGIBLE_EACH.items():
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


def test_illegible_crops_are_the_last_rows_and_not_a_label(tree: Tree) -> None:
    splits = read_splits(tree.root)
    assert label_map(splits).names == LABELS
    with pytest.raises(UserError, match="has 'illegible', which is not a class"):
        label_map(splits, pinned=(*LABELS, "illegible"))
    for name, split in splits.items():
        assert split.labels == (*LABELS, *[ILLEGIBLE] * ILLEGIBLE_EACH[name])
        assert split.illegible == ILLEGIBLE_EACH[name]
        assert split.counts() == dict.fromkeys(LABELS, 1)
        assert split.legible().labels == LABELS
        assert list(split.legible().paths) == list(split.paths)[: len(LABELS)]


@pytest.mark.parametrize("name", sorted(ILLEGIBLE_SPELLINGS - {ILLEGIBLE, "n/a"}))
def test_every_spelling_of_the_folder_is_understood(tmp_path: Path, name: str) -> None:
    tree = Tree(tmp_path, "folders").fill()
    tree.add("val", name, b"", name="z.jpg")
    val = read_splits(tree.root)["val"]
    assert val.labels == (*LABELS, ILLEGIBLE)
    assert val.illegible == 1


def test_selected_rows_keep_path_label_and_tracklet_together(tree: Tree) -> None:
    train = read_splits(tree.root)["train"]
    selected = train.only([5, 1])
    assert list(selected.paths) == [train.paths[5], train.paths[1]]
    assert selected.labels == (ILLEGIBLE, "00")
    assert selected.tracklets == ("", "")


@pytest.mark.parametrize(
    ("illegible", "left"),
    [("train", ILLEGIBLE_EACH), ("score", ILLEGIBLE_EACH | {"train": 0}), ("drop", dict.fromkeys(SPLITS, 0))],
)
def test_crops_that_are_not_used_are_excluded_and_reported(
    tree: Tree, caplog: pytest.LogCaptureFixture, illegible: Illegible, left: dict[str, int]
) -> None:
    with caplog.at_level(logging.INFO, logger="jersey"):
        data = opened(tree, illegible=illegible)
    for name in SPLITS:
        expected = [0, 1, 2, *[ILLEGIBLE_INDEX] * left[name]]
        assert data.decoded[name].labels_N.tolist() == expected
        assert len(data.splits[name]) == len(data.image_meta[name]) == len(expected)
    messages = [record.getMessage() for record in caplog.records if "excludes" in record.getMessage()]
    excluded = [f"{count} of {name}" for name, count in ILLEGIBLE_EACH.items() if not left[name]]
    expected_message = f"data.illegible={illegible} excludes illegible crops: {', '.join(excluded)}"
    assert messages == ([expected_message] if excluded else [])
    assert data.class_counts == [1, 1, 1]


def test_illegible_crops_are_trained_on_by_default_without_a_message(
    tree: Tree, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="jersey"):
        data = opened(tree)
    counts = Counter(int(label) for batch in data.train_dataloader() for label in batch["labels"])
    assert counts[ILLEGIBLE_INDEX] >= ILLEGIBLE_EACH["train"] - 1, "at most one crop is not in a full batch"
    assert "illegible" not in caplog.text


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_split_of_illegible_crops_only_is_empty(tmp_path: Path, layout: Layout) -> None:
    tree = Tree(tmp_path, layout)
    for split, label in (("train", "0"), ("val", "0"), ("test", ILLEGIBLE)):
        tree.add(split, label, b"")
    with pytest.raises(UserError, match="the test split is empty: no labeled image"):
        read_splits(tree.root)


def test_synthetic_crops_of_rare_numbers_follow_them_without_a_tracklet(tmp_path: Path) -> None:
    tree = with_illegible(tmp_path / "crops", "folders")
    (tree.root / "train" / "00" / "p7").mkdir()
    (tree.root / "train" / "00" / "p7" / "a.jpg").write_bytes(b"")
    train = read_splits(tree.root)["train"]
    filled = SyntheticSupplement(folder=str(tmp_path / "rare"), min_per_class=3).added_to(train)
    assert filled.labels == (*train.labels, "0", "0", "00", "01", "01")
    assert filled.tracklets == (*train.tracklets, *[""] * 5)
    assert "00/p7" in train.tracklets
