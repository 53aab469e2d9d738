"""From real image files to batches: the data module's guarantees, its strict splits, and its messages.

Shapes: B batch, H W the size of the network's input.
"""

import json
import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jersey.core.errors import UserError
from jersey.core.labels import SPLITS
from jersey.data import datamodule
from jersey.data.datamodule import JerseyDataModule
from jersey.data.loader import Batch
from jersey.data.resize import resize

LABELS = ("0", "00", "01", "7", "23")
CROPS_EACH = {"train": 6, "val": 2, "test": 2}
HEIGHT_PX, WIDTH_PX = 24, 16


def write_crops(root: Path, *, without: Iterable[tuple[str, str]] = ()) -> Path:
    """Writes a small data set of random images of many sizes, always the same ones."""
    rng = np.random.default_rng(0)
    for split in SPLITS:
        for label in LABELS:
            for number in range(CROPS_EACH[split]):
                pixels = rng.integers(0, 256, (*rng.integers(10, 40, 2), 3), dtype=np.uint8)
                if (split, label) not in without:
                    path = root / split / label / f"{label}_{number}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels).save(path)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_crops(tmp_path_factory.mktemp("folders"))


def opened(root: Path, **settings: object) -> JerseyDataModule:
    settings = {"seed": 0, "size_px": (HEIGHT_PX, WIDTH_PX), "batch_size": 8, "eval_batch_size": 4} | settings
    data = JerseyDataModule(str(root), **settings)  # type: ignore[arg-type]
    data.prepare_data()
    data.setup()
    return data


def batches(data: JerseyDataModule, split: str) -> list[Batch]:
    return list(getattr(data, f"{split}_dataloader")())


def rows(data: JerseyDataModule, split: str) -> list[int]:
    return torch.cat([batch["indices"] for batch in batches(data, split)]).tolist()


def same(left: list[Batch], right: list[Batch]) -> bool:
    """Returns whether two lists of batches are equal, bit for bit."""
    return len(left) == len(right) and all(
        torch.equal(value, other[name])  # type: ignore[arg-type, literal-required]
        for one, other in zip(left, right, strict=True)
        for name, value in one.items()
    )


@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
@pytest.mark.parametrize("split", SPLITS)
def test_a_row_is_the_resized_file_at_its_index(root: Path, split: str, mode: str) -> None:
    data = opened(root, resize_mode=mode)
    for batch in batches(data, split):
        assert set(batch) == {"images", "labels", "indices"}
        assert batch["images"].dtype == torch.uint8
        assert batch["labels"].dtype == batch["indices"].dtype == torch.int64
        for image, label, index in zip(batch["images"], batch["labels"], batch["indices"], strict=True):
            path = data.splits[split].paths[index]
            assert path.parent.name == data.labels.names[label] == data.splits[split].labels[index]
            pixels = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)
            resized = resize(pixels[None], height_px=HEIGHT_PX, width_px=WIDTH_PX, mode=mode)[0]  # type: ignore[arg-type]
            assert torch.equal(image, resized)


@pytest.mark.parametrize("split", ["val", "test"])
def test_val_and_test_are_the_same_in_every_pass_and_for_every_seed(root: Path, split: str) -> None:
    """Every crop comes once, in order, with the same bytes, for any seed and generator state and after any change."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  # the global state is the point
    data = opened(root, sampler_power=1.0)
    first = batches(data, split)
    kept = [{name: value.clone() for name, value in batch.items()} for batch in first]  # type: ignore[attr-defined]
    for batch in first:
        batch["images"].zero_()
        batch["labels"].fill_(-7)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    assert same(batches(data, split), kept)  # type: ignore[arg-type]
    assert same(batches(opened(root, seed=1, batch_size=3), split), kept)  # type: ignore[arg-type]
    assert rows(data, split) == list(range(10))


def test_both_layouts_have_identical_batches(root: Path, tmp_path: Path) -> None:
    for split in SPLITS:
        shutil.copytree(root / split, tmp_path / split / "images")
        rows = [
            json.dumps({"image": str(path.relative_to(tmp_path / split)), "suffix": path.parent.name})
            for path in sorted((tmp_path / split / "images").rglob("*.png"))
        ]
        (tmp_path / split / "crops.jsonl").write_text("\n".join(rows), encoding="utf-8")
    folders, annotations = opened(root), opened(tmp_path)
    assert folders.labels == annotations.labels
    assert all(same(batches(folders, split), batches(annotations, split)) for split in SPLITS)


def test_the_train_order_is_a_function_of_the_seed(root: Path) -> None:
    first = rows(opened(root), "train")
    torch.manual_seed(5)
    assert rows(opened(root), "train") == first != rows(opened(root, seed=1), "train")


def test_train_batches_are_all_full(root: Path) -> None:
    """30 crops make three batches of 8; the last six crops wait for another epoch."""
    for batch_size, sizes in ((8, [8, 8, 8]), (30, [30])):
        assert [len(batch["labels"]) for batch in batches(opened(root, batch_size=batch_size), "train")] == sizes
    data = opened(root, batch_size=31)
    with pytest.raises(UserError, match=r"batch_size=31 .* 30 train crops"):
        data.train_dataloader()
    assert len(batches(data, "val")) == 3  # evaluation is not affected


def test_a_class_missing_from_val_and_test_keeps_the_indices_and_is_reported_once(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_crops(tmp_path, without=[("val", "00"), ("test", "00")])
    with caplog.at_level(logging.WARNING, logger="jersey"):
        data = opened(tmp_path)
        data.setup("test")
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 2
    for split, warning in zip(("val", "test"), warnings, strict=True):
        assert f"{split} has no crops of 00;" in warning
    caplog.clear()
    complete = opened(root)
    assert not caplog.records
    assert data.labels == complete.labels
    kept = complete.decoded["val"].labels_N != complete.labels.class_to_idx["00"]
    assert torch.equal(data.decoded["val"].labels_N, complete.decoded["val"].labels_N[kept])
    assert torch.equal(data.decoded["val"].images_NCHW, complete.decoded["val"].images_NCHW[kept])


def test_pinned_labels_fix_the_indices(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    pinned = ("99", "23", "7", "01", "00", "0")
    with caplog.at_level(logging.WARNING, logger="jersey"):
        data = opened(root, labels=pinned)
    assert data.labels.names == pinned
    assert data.class_counts == [0, 6, 6, 6, 6, 6]
    for batch in batches(data, "train"):
        for label, index in zip(batch["labels"], batch["indices"], strict=True):
            assert pinned[label] == data.splits["train"].labels[index]
    assert [record.getMessage().split()[0] for record in caplog.records] == ["train", "val", "test"]


def test_the_sampler_balances_the_train_batches(tmp_path: Path) -> None:
    write_crops(tmp_path)
    for number in range(1, 6):
        (tmp_path / "train" / "7" / f"7_{number}.png").unlink()
    data = opened(tmp_path, batch_size=5, sampler_power=1.0)
    labels = torch.cat([batch["labels"] for batch in batches(data, "train")])
    assert data.class_counts == [6, 1, 6, 6, 6]
    assert torch.bincount(labels).tolist() == [5, 5, 5, 5, 5]


def test_construction_reads_nothing_and_a_missing_data_set_is_generated_before_it_is_read(tmp_path: Path) -> None:
    data = JerseyDataModule(str(tmp_path / "new"), seed=0)
    with pytest.raises(UserError, match="does not exist"):
        data.setup()
    assert len(opened(tmp_path / "new", generate=write_crops).decoded["train"]) == 30


def test_processes_of_torchrun_take_their_parts_and_are_warned_without_a_cache(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alone = rows(opened(root), "train")
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(datamodule, "require_same_everywhere", lambda *_: None)  # waits for real processes
    data = opened(root, cache=str(tmp_path))
    assert "data.cache" not in caplog.text
    assert rows(data, "train") == alone[1::4]
    assert rows(data, "val") == rows(data, "test") == [1, 5, 9]
    uneven = opened(root, batch_size=6)
    assert "each of 4 processes decodes all crops; data.cache" in caplog.text
    with pytest.raises(UserError, match=r"batch_size=6 is shared by 4 processes"):
        uneven.train_dataloader()
