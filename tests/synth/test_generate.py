"""Generated data sets: crops, illegible crops and tracklets in both layouts, reproducibility, and atomicity."""

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.small_disk import small_disk
from PIL import Image

from jersey.core.errors import UserError
from jersey.synth import generate as generate_module
from jersey.synth.crop import KINDS, Kind
from jersey.synth.generate import ensure_synthetic, generate
from jersey.synth.settings import LAYOUTS, STYLES, Style
from jersey.synth.typefaces import TRAIN, UNSEEN

NUMBERS = ("7", "0", "00", "01")
SMALL = {"numbers": NUMBERS, "train": 12, "val": 5, "test": 4, "size_px": 32}
ILLEGIBLE = {**SMALL, "train": 24, "val": 12, "test": 9, "illegible": 0.5}
TRACKLETS = {**SMALL, "train": 0, "val": 0, "test": 8, "frames": 5}


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def images(root: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(root).items() if name.endswith("jpg")}


def test_folders_are_named_by_the_labels_and_seeds_give_different_images(tmp_path: Path) -> None:
    empty, deep = tmp_path / "empty", tmp_path / "not" / "there"
    empty.mkdir()
    for seed, root in enumerate((empty, deep)):
        generate(root, **SMALL, seed=seed)
        for split, total in (("train", 12), ("val", 5), ("test", 4)):
            assert {path.name for path in (root / split).iterdir()} == set(NUMBERS)
            assert len(list((root / split).rglob("*.jpg"))) == total
    assert not set(images(empty).values()) & set(images(deep).values())


def test_each_split_has_its_own_typefaces_and_every_kind_of_illegible_crop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, used = generate_module.render_crop, []

    def spy(number: str, *, typefaces: object, kind: Kind, **kwargs: object) -> object:
        used.append((typefaces, kind, number))
        return real(number, typefaces=typefaces, kind=kind, **kwargs)

    monkeypatch.setattr(generate_module, "render_crop", spy)
    generate(tmp_path / "set", **ILLEGIBLE)
    assert [typefaces for typefaces, _, _ in used] == [TRAIN] * (24 + 12) + [UNSEEN] * (12 + 6 + 9 + 4)
    for typefaces, min_count in ((TRAIN, 2), (UNSEEN, 1)):
        kinds = [kind for of_crop, kind, _ in used if of_crop is typefaces]
        assert all(kinds.count(kind) >= min_count for kind in KINDS.values())
    assert {number for _, kind, number in used if kind in KINDS.values()} == set(NUMBERS)


def test_an_interruption_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize("style", STYLES)
def test_a_full_disk_ends_all_processes_with_one_sentence_and_leaves_no_files(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], style: Style
) -> None:
    with small_disk(tmp_path / "disk", size_mb=1) as disk:
        with pytest.raises(UserError, match=f"^cannot write .*: the disk at {disk} is full") as error:
            generate(
                disk / "crops", numbers=("0", "00"), train=1000, val=50, test=50, size_px=96, style=style, workers=2
            )
        assert "\n" not in str(error.value)
        assert list(disk.iterdir()) == []
        assert "rror" not in capfd.readouterr().err


@pytest.mark.parametrize("settings", [SMALL, ILLEGIBLE, TRACKLETS], ids=["crops", "illegible", "tracklets"])
def test_annotations_list_the_images_of_the_folders_with_label_and_tracklet(tmp_path: Path, settings: dict) -> None:
    for layout in LAYOUTS:
        generate(tmp_path / layout, **settings, layout=layout)
    found = set()
    for file in (tmp_path / "annotations").glob("*/annotations.jsonl"):
        for row in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            parts = [row["suffix"] or "illegible", *([row["tracklet"]] if "tracklet" in row else [])]
            found.add((file.parent.name, *parts, (file.parent / row["image"]).read_bytes()))
    expected = {(*Path(name).parts[:-1], content) for name, content in images(tmp_path / "folders").items()}
    assert found == expected
    assert len(expected) == len(images(tmp_path / "folders")), "no two images are equal"
    for content in images(tmp_path / "folders").values():
        with Image.open(io.BytesIO(content)) as image:
            assert (image.mode, image.size) == ("RGB", (32, 32))
            assert np.asarray(image).std() > 5


@pytest.mark.parametrize(
    "settings",
    [
        {**SMALL, "train": 200},
        {**ILLEGIBLE, "train": 120},
        {**ILLEGIBLE, "train": 120, "style": "varied"},
        {**TRACKLETS, "test": 100, "frames": 2},
    ],
    ids=["crops", "illegible", "varied", "tracklets"],
)
def test_two_processes_generate_the_same_bytes_as_one(tmp_path: Path, settings: dict) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        generate(tmp_path / name, **settings, workers=workers)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_legible_crops_are_the_same_with_and_without_illegible_ones(tmp_path: Path) -> None:
    generate(tmp_path / "mixed", **ILLEGIBLE)
    generate(tmp_path / "plain", **(ILLEGIBLE | {"illegible": 0.0}))
    mixed = images(tmp_path / "mixed")
    legible = {name: content for name, content in mixed.items() if "illegible" not in Path(name).parts}
    assert legible == images(tmp_path / "plain")
    counts = Counter(Path(name).parts[0] for name in mixed.keys() - legible.keys())
    assert counts == {"train": 12, "val": 6, "test": round(4.5)}


def test_a_tracklet_is_a_folder_in_that_of_its_number(tmp_path: Path) -> None:
    generate(tmp_path / "set", **(TRACKLETS | {"numbers": ("7", "00"), "test": 4}))
    names = sorted(images(tmp_path / "set"))
    tracklets = ("00/000002", "00/000003", "7/000000", "7/000001")
    assert names == [f"test/{tracklet}/{frame:04d}.jpg" for tracklet in tracklets for frame in range(5)]
    assert [path.name for path in (tmp_path / "set").iterdir() if path.is_dir()] == ["test"]


def test_a_data_set_is_generated_once_and_other_settings_are_an_error(tmp_path: Path) -> None:
    root = tmp_path / "crops"
    ensure_synthetic(root, **SMALL, imbalance=1.0, seed=0)
    generated = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    ensure_synthetic(root, **SMALL, imbalance=1.0, seed=0)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == generated
    with pytest.raises(UserError, match="seed=0"):
        ensure_synthetic(root, **SMALL, imbalance=1.0, seed=1)
