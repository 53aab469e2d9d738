"""Whole data sets on disk: counts, strings, layouts, repeatability, the manifest, and no half sets."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.small_disk import small_disk
from PIL import Image

from jersey.core.errors import UserError
from jersey.synth import generate as generate_module
from jersey.synth.generate import generate
from jersey.synth.typefaces import TRAIN, UNSEEN

NUMBERS = ("7", "0", "00", "01")
SMALL = {"numbers": NUMBERS, "train": 12, "val": 5, "test": 4, "size_px": 32}


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synth") / "deep" / "folders"
    generate(root, **SMALL)
    return root


def test_folders_are_named_by_the_strings(folders: Path) -> None:
    for split, total in (("train", 12), ("val", 5), ("test", 4)):
        assert {path.name for path in (folders / split).iterdir()} == set(NUMBERS)
        assert len(list((folders / split).rglob("*.jpg"))) == total


def test_annotations_hold_the_strings_and_the_same_pictures(folders: Path, tmp_path: Path) -> None:
    generate(tmp_path / "annotations", **SMALL, layout="annotations")
    for split in ("train", "val", "test"):
        listed = rows(tmp_path / "annotations" / split / "annotations.jsonl")
        by_label = {(row["suffix"], (tmp_path / "annotations" / split / row["image"]).read_bytes()) for row in listed}
        in_folders = {(path.parent.name, path.read_bytes()) for path in (folders / split).rglob("*.jpg")}
        assert by_label == in_folders
        assert len(listed) == len(in_folders)


def test_again_gives_the_same_bytes_with_any_number_of_workers(tmp_path: Path) -> None:
    enough_for_two = {**SMALL, "train": 200}
    for name, workers in (("one", 1), ("two", 2)):
        generate(tmp_path / name, **enough_for_two, workers=workers)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_another_seed_gives_other_pictures(folders: Path, tmp_path: Path) -> None:
    generate(tmp_path / "other", **SMALL, seed=1)
    pictures = [
        {content for name, content in contents(root).items() if name.endswith("jpg")}
        for root in (folders, tmp_path / "other")
    ]
    assert not pictures[0] & pictures[1]


def test_no_picture_comes_twice(folders: Path) -> None:
    pictures = [content for name, content in contents(folders).items() if name.endswith("jpg")]
    assert len(set(pictures)) == len(pictures)


def test_a_long_tail_in_train_only(tmp_path: Path) -> None:
    generate(tmp_path / "set", numbers=["7", "0", "00"], train=28, val=6, test=6, size_px=32, imbalance=4.0)
    counts = {
        split: [len(list((tmp_path / "set" / split / number).iterdir())) for number in ("7", "0", "00")]
        for split in ("train", "val", "test")
    }
    assert counts == {"train": [16, 8, 4], "val": [2, 2, 2], "test": [2, 2, 2]}


def test_train_crops_may_be_counted_number_by_number(tmp_path: Path) -> None:
    counted = {**SMALL, "train": (1, 5, 2, 3)}
    generate(tmp_path / "set", **counted)
    train = {path.name: len(list(path.iterdir())) for path in (tmp_path / "set" / "train").iterdir()}
    assert train == dict(zip(NUMBERS, (1, 5, 2, 3), strict=True))
    generate(tmp_path / "set", **counted)
    with pytest.raises(UserError, match="train=1,5,2,3, now it is 1,5,3,2"):
        generate(tmp_path / "set", **(counted | {"train": (1, 5, 3, 2)}))


def test_counts_give_the_same_crops_as_the_total_that_makes_them(folders: Path, tmp_path: Path) -> None:
    generate(tmp_path / "counted", **(SMALL | {"train": [3, 3, 3, 3]}), workers=2)
    pictures = [
        {name: content for name, content in contents(root).items() if name.endswith("jpg")}
        for root in (folders, tmp_path / "counted")
    ]
    assert pictures[0] == pictures[1]


def test_each_split_draws_from_its_own_typefaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    real = generate_module.render_crop

    def spy(number: str, *, typefaces: tuple, **kwargs: object) -> object:
        used.append(typefaces)
        return real(number, typefaces=typefaces, **kwargs)

    monkeypatch.setattr(generate_module, "render_crop", spy)
    generate(tmp_path / "set", **SMALL)
    assert used == [TRAIN] * 12 + [UNSEEN] * (5 + 4)


def test_a_finished_set_is_left_as_it_is(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate_module, "render_crop", None)
    before = contents(folders)
    generate(folders, **SMALL)
    assert contents(folders) == before


@pytest.mark.parametrize(
    ("change", "told"),
    [({"train": 13}, "train=12"), ({"numbers": ("7", "0", "00", "1")}, "numbers=7,0,00,01"), ({"seed": 3}, "seed=0")],
)
def test_other_settings_are_refused(folders: Path, change: dict, told: str) -> None:
    before = contents(folders)
    with pytest.raises(UserError, match=told) as error:
        generate(folders, **(SMALL | change))
    assert "delete the folder or choose another root" in str(error.value)
    assert contents(folders) == before


def test_an_older_generator_is_told(folders: Path, tmp_path: Path) -> None:
    root = tmp_path / "old"
    root.mkdir()
    manifest = json.loads((folders / "synth.json").read_text(encoding="utf-8"))
    (root / "synth.json").write_text(json.dumps(manifest | {"generator_version": 0}), encoding="utf-8")
    with pytest.raises(UserError, match="generator_version=0"):
        generate(root, **SMALL)


def test_a_folder_with_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(UserError, match="not drawn by jersey"):
        generate(tmp_path, **SMALL)
    assert list(tmp_path.iterdir()) == [tmp_path / "mine.txt"]


def test_a_file_in_the_place_of_the_root_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("precious", encoding="utf-8")
    with pytest.raises(UserError, match="not drawn by jersey"):
        generate(tmp_path / "set", **SMALL)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    generate(tmp_path, **SMALL)
    assert (tmp_path / "synth.json").is_file()


def test_an_interrupted_draw_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def interrupted(*args: object, **kwargs: object) -> object:
        calls.append(args)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    real = generate_module.render_crop
    monkeypatch.setattr(generate_module, "render_crop", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "set", **SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"numbers": ()}, "no numbers"),
        ({"numbers": ("7", "a")}, "'a' is not a jersey number"),
        ({"numbers": ("7", "123456")}, "'123456' is not"),
        ({"numbers": ("7", "\u0663")}, "is not a jersey number"),
        ({"numbers": ("7", "00", "7")}, "appear twice: 7"),
        ({"train": 3}, "train=3 is too few"),
        ({"train": (3, 3, 3)}, "train=3,3,3 is not a count of at least 1 for each of 4 numbers"),
        ({"train": (3, 3, 0, 3)}, "train=3,3,0,3 is not a count"),
        ({"train": (3, 3, 3, 3), "imbalance": 2.0}, "imbalance=2.0 does nothing where train counts"),
        ({"size_px": 4}, "size_px=4"),
        ({"imbalance": 0.5}, "imbalance=0.5"),
        ({"imbalance": float("nan")}, "imbalance=nan"),
        ({"layout": "zip"}, "layout='zip'"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(tmp_path: Path, change: dict, told: str) -> None:
    with pytest.raises(UserError, match=told) as error:
        generate(tmp_path / "set", **(SMALL | change))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "set").exists()


def test_files_are_pictures_of_the_asked_size(folders: Path) -> None:
    for path in folders.rglob("*.jpg"):
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("RGB", (32, 32))
            assert np.asarray(image).std() > 5


def test_a_full_disk_ends_drawing_in_several_processes_and_leaves_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path / "disk", size_mb=1) as disk:
        with pytest.raises(UserError, match="reason that stands above"):
            generate(disk / "crops", numbers=("0", "00"), train=1000, val=50, test=50, size_px=96, workers=2)
        assert list(disk.iterdir()) == []
        said = capfd.readouterr().err
        assert f"the disk at {disk} is full" in said
        assert "Traceback" not in said
