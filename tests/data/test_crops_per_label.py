"""Fewer train crops of each label: nested, independent of other labels, and announced."""

import logging
from collections import Counter
from pathlib import Path

import pytest
from helpers.dirty_tree import Tree

from jersey.core.labels import ILLEGIBLE
from jersey.data.datamodule import JerseyDataModule
from jersey.data.split import Paths, Split, take_per_label

COUNTS = {"7": 9, "00": 5, ILLEGIBLE: 4, "23": 1}


def split_of(counts: dict[str, int]) -> Split:
    labels = tuple(label for label, count in counts.items() for _ in range(count))
    paths = Paths(tuple(f"{label or 'illegible'}/{row}.jpg" for row, label in enumerate(labels)))
    return Split("train", paths, labels, ("",) * len(labels))


@pytest.mark.parametrize("count", [1, 4, 6])
def test_every_label_keeps_as_many_as_it_can_in_order(count: int) -> None:
    split = split_of(COUNTS)
    kept = take_per_label(split, count, seed=3)
    assert Counter(kept.labels) == {label: min(count, all_of_it) for label, all_of_it in COUNTS.items()}
    rows = [split.paths.texts.index(path) for path in kept.paths.texts]
    assert rows == sorted(rows)


def test_fewer_are_a_subset_of_more_and_another_seed_samples_others() -> None:
    split = split_of(COUNTS)
    few, more, other = (set(take_per_label(split, n, seed=seed).paths.texts) for n, seed in ((2, 0), (4, 0), (2, 1)))
    assert few < more
    assert few != other


def test_the_images_of_a_label_do_not_depend_on_other_labels() -> None:
    def of_seven(split: Split) -> set[str]:
        return {Path(path).name for path, label in zip(split.paths.texts, split.labels, strict=True) if label == "7"}

    alone = of_seven(take_per_label(split_of({"7": 9}), 3, seed=0))
    assert of_seven(take_per_label(split_of({"7": 9, "1": 20}), 3, seed=0)) == alone


def test_the_data_module_announces_what_it_keeps(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = Tree(tmp_path / "crops", "folders").fill().root
    whole = JerseyDataModule(str(root), seed=0, size_px=(16, 16), batch_size=2)
    whole.setup()
    caplog.set_level(logging.INFO)
    data = JerseyDataModule(str(root), seed=0, size_px=(16, 16), batch_size=2, crops_per_label=1)
    data.setup()
    assert set(data.class_counts) == {1}
    total = len(whole.splits["train"])
    assert f"data.crops_per_label=1 keeps {len(data.labels)} of {total} train crops" in caplog.text
    assert len(data.splits["val"]) == len(whole.splits["val"])
