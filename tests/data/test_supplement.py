"""Synthetic crops of rare numbers, alone and in the data module that trains on them."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from jersey.core.errors import UserError
from jersey.data.audit import fast_audit
from jersey.data.datamodule import JerseyDataModule
from jersey.data.index import read_splits
from jersey.data.split import Paths, Split
from jersey.data.supplement import SyntheticSupplement


def split_of(**counts: int) -> Split:
    labels = tuple(name.lstrip("n") for name, count in counts.items() for _ in range(count))
    return Split("train", Paths(tuple(f"{index}.jpg" for index in range(len(labels)))), labels, ("",) * len(labels))


def test_only_rare_numbers_that_can_be_rendered_get_more_crops(tmp_path: Path) -> None:
    supplement = SyntheticSupplement(folder=str(tmp_path / "rare"), min_per_class=5)
    assert supplement.missing(split_of(n7=3, n00=5, n0=1, n23=9)) == {"0": 4, "7": 2}
    train = split_of(A7=1, n100=2)
    supplement.generate(train)
    assert supplement.added_to(train) == train
    assert not (tmp_path / "rare").exists()


def test_the_data_module_trains_on_synthetic_crops_and_evaluates_without_them(crops_root: Path, tmp_path: Path) -> None:
    own = read_splits(crops_root)
    min_per_class = max(own["train"].counts().values()) + 1
    supplement = SyntheticSupplement(folder=str(tmp_path / "rare"), min_per_class=min_per_class, size_px=40, seed=5)
    data = JerseyDataModule(str(crops_root), seed=0, size_px=(32, 32), batch_size=4, supplement=supplement)
    data.setup()
    assert data.class_counts == [min_per_class] * len(data.labels)
    assert len(data.decoded["train"]) == sum(data.class_counts)
    assert {name: data.splits[name] for name in ("val", "test")} == {name: own[name] for name in ("val", "test")}
    synthetic = list(data.splits["train"].paths)[len(own["train"]) :]
    assert all(path.is_file() and path.is_relative_to(tmp_path / "rare") for path in synthetic)
    assert Counter(path.parent.name for path in synthetic) == {
        name: min_per_class - count for name, count in own["train"].counts().items()
    }
    audit = fast_audit(data.index, data.splits, data.image_meta, skipped=data.skipped)
    assert audit.findings == ()
    assert all((crops_root / row.image).is_file() for row in audit.rows)


def test_crops_generated_for_another_state_of_the_data_raise_an_error(crops_root: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(crops_root, changed)
    supplement = SyntheticSupplement(folder=str(tmp_path / "rare"), min_per_class=30, size_px=40)
    supplement.generate(read_splits(changed)["train"])
    next((changed / "train" / "00").iterdir()).unlink()
    with pytest.raises(UserError, match="train="):
        supplement.generate(read_splits(changed)["train"])
