"""Both layouts of a data set on disk: the rows, their order, and the errors that refuse a faulty data set."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.index_tree import annotate, annotated_tree, read_error, rows, touch

from jersey.core.errors import UserError
from jersey.core.labels import SPLITS, Labels
from jersey.data.index import read_index, read_splits
from jersey.data.split import Paths, Split, label_map, missing_labels


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small good data set, one folder per class."""
    for split in SPLITS:
        for label in ("0", "00", "23"):
            touch(tmp_path / split / label / f"{label}_{split}.jpg")
    return tmp_path


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    return annotated_tree(tmp_path)


def test_folder_per_class_keeps_labels_as_written(root: Path) -> None:
    touch(root / "train" / "23" / "game 1" / "deep" / "x.PNG")
    touch(root / "train" / "23" / "notes.txt")
    for suffix in ("jpg", "JPEG", "png", "Bmp", "webp", "tif", "tiff", "gif"):
        touch(root / "val" / "0" / f"other.{suffix}")
    assert read_splits(root)["val"].counts()["0"] == 1 + 8
    train = read_splits(root)["train"]
    assert rows(train) == [("0", "0_train.jpg"), ("00", "00_train.jpg"), ("23", "23_train.jpg"), ("23", "x.PNG")]
    assert len(train) == 4
    assert train.counts() == {"0": 1, "00": 1, "23": 2}
    assert all(path.is_file() for path in train.paths)


def test_hidden_files_and_folders_are_ignored(root: Path) -> None:
    before = read_splits(root)
    touch(root / "train" / ".thumbnails" / "a.jpg")
    touch(root / "train" / "__MACOSX" / "23" / "a.jpg")
    touch(root / "train" / "23" / "._a.jpg")
    touch(root / "train" / "23" / ".cache" / "a.jpg")
    touch(root / "train" / "._rows.jsonl")
    (root / ".git").mkdir()
    assert read_splits(root) == before
    hidden = root.rename(root.with_name(".cache"))
    assert len(read_splits(hidden)["train"]) == 3


def test_links_to_class_folders_are_followed_and_loops_end(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = touch(tmp_path_factory.mktemp("elsewhere") / "a.jpg").parent
    (root / "train" / "7").symlink_to(elsewhere)
    (root / "train" / "23" / "loop").symlink_to(root / "train")
    (root / "train" / "8").symlink_to(root / "train" / "8")
    assert read_splits(root)["train"].counts() == {"0": 1, "00": 1, "23": 1, "7": 1}


def test_each_split_has_its_own_layout(annotated: Path) -> None:
    shutil.rmtree(annotated / "test")
    touch(annotated / "test" / "0" / "z.jpg")
    assert rows(read_splits(annotated)["test"]) == [("0", "z.jpg")]


def test_both_layouts_have_the_same_rows_in_the_same_order(tmp_path: Path) -> None:
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


def test_equal_names_are_ordered_by_path(root: Path) -> None:
    for folder in ("game2", "game1"):
        touch(root / "train" / "0" / folder / "same.jpg")
    same = [path.parent.name for path in read_splits(root)["train"].paths if path.name == "same.jpg"]
    assert same == ["game1", "game2"]


def test_a_missing_root_and_a_root_that_is_a_file_are_refused(tmp_path: Path) -> None:
    assert f"{tmp_path / 'nowhere'} does not exist" in read_error(tmp_path / "nowhere")
    assert "is a file" in read_error(touch(tmp_path / "file.zip"))
    assert "does not exist" in read_error(tmp_path / ("long" * 200))


def test_a_missing_and_an_empty_split_and_an_image_outside_a_class_folder_are_named(root: Path) -> None:
    stray = touch(root / "train" / "stray.jpg")
    assert str(stray) in read_error(root)
    assert read_index(root, lambda problem: None).splits["train"].counts() == {"0": 1, "00": 1, "23": 1}
    stray.unlink()
    (root / "val").rename(root / "game 7")
    message = read_error(root)
    assert "no folder val" in message
    assert "it has game 7, test, train" in message
    assert "python -m jersey.data.prepare" in message
    (root / "game 7").rename(root / "val")
    shutil.rmtree(root / "test")
    (root / "test" / "23").mkdir(parents=True)
    assert "the test split is empty" in read_error(root)
    (root / "test" / "rows.jsonl").write_text("\n")
    assert "the test split is empty" in read_error(root)


@pytest.mark.parametrize("name", [" 23", "23\u200b", "2\n3"])
def test_a_class_folder_that_only_looks_like_a_number_is_refused(root: Path, name: str) -> None:
    touch(root / "train" / name / "a.jpg")
    with pytest.raises(UserError, match="the label") as caught:
        read_splits(root)
    assert repr(name) in str(caught.value)


def split_of(*labels: str, name: str = "train") -> Split:
    return Split(name, Paths(tuple(f"{index}.jpg" for index in range(len(labels)))), labels, ("",) * len(labels))


def test_label_map_comes_from_train_alone() -> None:
    splits = {"train": split_of("10", "0", "00", "0"), "val": split_of("00", name="val")}
    assert label_map(splits) == Labels.from_names(["0", "00", "10"])
    assert missing_labels(splits["val"], label_map(splits)) == ("0", "10")
    assert label_map(splits, pinned=["7", "00", "0", "10"]).names == ("7", "00", "0", "10")


@pytest.mark.parametrize(
    ("train", "test", "pinned", "sentence"),
    [
        (("0", "00"), (), ["00", "000"], "the train split has labels that the pinned label map lacks: 0;"),
        (("0", "1"), ("00", "1"), None, "the test split has labels that the train split lacks: 00;"),
        *((("5", "5"), (), pinned, "fewer than two classes") for pinned in (None, ["5"], [])),
    ],
)
def test_labels_outside_the_map_and_a_single_class_are_refused(
    train: tuple[str, ...], test: tuple[str, ...], pinned: list[str] | None, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        label_map({"train": split_of(*train), "test": split_of(*test, name="test")}, pinned=pinned)


def test_paths_are_a_sequence_of_paths() -> None:
    paths = Paths(("/a/0.jpg", "/a/00.jpg"))
    assert list(paths) == [Path("/a/0.jpg"), Path("/a/00.jpg")]
    assert paths[np.int64(1)] == Path("/a/00.jpg")


def test_folders_below_a_class_folder_are_tracklets(root: Path) -> None:
    tracklet_of = {"1": "23/p7", "2": "23/p7", "3": "illegible/p7", "4": "illegible/game 2/p7"}
    for name, tracklet in tracklet_of.items():
        touch(root / "train" / tracklet / f"{name}.jpg")
    touch(root / "train" / "illegible" / "5.jpg")
    train = read_splits(root)["train"]
    found = {path.stem: tracklet for path, tracklet in zip(train.paths, train.tracklets, strict=True)}
    assert {name: tracklet for name, tracklet in found.items() if tracklet} == tracklet_of
    assert len({id(tracklet) for tracklet in train.tracklets if tracklet == "23/p7"}) == 1, "one string in memory"
