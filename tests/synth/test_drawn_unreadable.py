"""Crops without a number to read: of every kind, next to readable crops that stay as they were, in both layouts."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jersey.core.errors import UserError
from jersey.core.labels import SPLITS
from jersey.synth import generate as generate_module
from jersey.synth.crop import KINDS, Crop, paint, render_crop, render_illegible
from jersey.synth.generate import generate
from jersey.synth.occlusion import occlude_fully
from jersey.synth.settings import MANIFEST
from jersey.synth.typefaces import TRAIN, TRAIN_FONTS, UNSEEN

NUMBERS = ("7", "0", "00")
SMALL = {"numbers": NUMBERS, "train": 24, "val": 12, "test": 9, "size_px": 32}


def drawn(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.jpg"))}


def unreadable(kind: str, seed: int, number: str = "23") -> Crop:
    rng = np.random.default_rng(seed)
    return render_illegible(KINDS[kind], number, rng=rng, typefaces=TRAIN, size_px=64)


def readable(seed: int, number: str = "23") -> Crop:
    return render_crop(number, rng=np.random.default_rng(seed), typefaces=TRAIN, size_px=64)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synth") / "mixed"
    generate(root, **SMALL, unreadable=0.5)
    return root


def test_a_share_of_each_split_lies_in_a_folder_of_its_own(mixed: Path) -> None:
    assert {split: len(list((mixed / split / "unreadable").iterdir())) for split in SPLITS} == {
        "train": 12,
        "val": 6,
        "test": round(4.5),
    }


def test_readable_crops_are_the_same_with_and_without(mixed: Path, tmp_path: Path) -> None:
    generate(tmp_path / "plain", **SMALL)
    both = {name: content for name, content in drawn(mixed).items() if "/unreadable/" not in name}
    assert both == drawn(tmp_path / "plain")


def test_in_annotations_the_suffix_is_empty(mixed: Path, tmp_path: Path) -> None:
    generate(tmp_path / "rows", **SMALL, unreadable=0.5, layout="annotations")
    for split in SPLITS:
        folder = tmp_path / "rows" / split
        rows = [json.loads(line) for line in (folder / "annotations.jsonl").read_text(encoding="utf-8").splitlines()]
        empty = {(folder / row["image"]).read_bytes() for row in rows if not row["suffix"]}
        assert empty == {path.read_bytes() for path in (mixed / split / "unreadable").iterdir()}
        assert len(rows) == len({row["image"] for row in rows}) == len(list((mixed / split).rglob("*.jpg")))


def test_every_kind_is_in_each_split_and_again_gives_the_same(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, used = render_illegible, []

    def spy(kind: object, number: str, *, typefaces: object, **kwargs: object) -> Crop:
        used.append((kind, number, typefaces))
        return real(kind, number, typefaces=typefaces, **kwargs)

    monkeypatch.setattr(generate_module, "render_illegible", spy)
    generate(tmp_path / "again", **SMALL, unreadable=0.5)
    assert drawn(tmp_path / "again") == drawn(mixed)
    for faces, least in ((TRAIN, 2), (UNSEEN, 1)):
        kinds = [kind for kind, _, typefaces in used if typefaces is faces]
        assert all(kinds.count(kind) >= least for kind in KINDS.values())
    assert {number for _, number, _ in used} == set(NUMBERS)


def test_two_processes_draw_the_same(tmp_path: Path) -> None:
    enough = {**SMALL, "train": 120}
    for name, workers in (("one", 1), ("two", 2)):
        generate(tmp_path / name, **enough, unreadable=0.5, workers=workers)
    assert drawn(tmp_path / "one") == drawn(tmp_path / "two")


def test_a_manifest_from_before_counts_as_one_without_unreadable_crops(tmp_path: Path) -> None:
    root = tmp_path / "old"
    generate(root, **SMALL)
    manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    old = {name: value for name, value in manifest.items() if name not in ("unreadable", "frames")}
    assert len(old) == len(manifest) - 2
    (root / MANIFEST).write_text(json.dumps(old), encoding="utf-8")
    generate(root, **SMALL)
    with pytest.raises(UserError, match=r"unreadable=0\.0, now it is 0\.5"):
        generate(root, **SMALL, unreadable=0.5)
    with pytest.raises(UserError, match="frames=1, now it is 2"):
        generate(root, **SMALL, frames=2)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_what_is_no_share_is_refused_in_one_sentence(tmp_path: Path, share: float) -> None:
    with pytest.raises(UserError, match=f"unreadable={share} is not a share"):
        generate(tmp_path / "set", **SMALL, unreadable=share)
    assert not (tmp_path / "set").exists()


def test_nothing_of_a_number_is_on_a_blank_back() -> None:
    for seed in range(10):
        scenes = {
            (number, back): paint(
                number, rng=np.random.default_rng(seed), typefaces=TRAIN_FONTS[:1], size_px=48, back=back
            ).painting.scene.tobytes()
            for number in ("3", "8")
            for back in ("number", "blank")
        }
        assert scenes["3", "blank"] == scenes["8", "blank"]
        assert scenes["3", "number"] != scenes["8", "number"]


def test_hardly_any_ink_of_a_hidden_digit_is_visible() -> None:
    for seed in range(60):
        digits = [Image.new("L", (64, 64)) for _ in range(2)]
        for digit, left in zip(digits, (12, 34), strict=True):
            digit.paste(255, (left, 16), TRAIN[seed % len(TRAIN)].glyph("38"[left > 20], height_px=30, stroke_px=0))
        picture = Image.new("RGB", (64, 64), (1, 2, 3))
        occlude_fully(picture, digits, rng=np.random.default_rng(seed))
        visible_HW = (np.asarray(picture) == (1, 2, 3)).all(axis=2)
        for digit in digits:
            ink_HW = np.asarray(digit) > 127
            assert (ink_HW & visible_HW).sum() < 0.1 * ink_HW.sum()


def test_on_a_player_seen_from_the_side_digits_are_a_few_pixels_wide() -> None:
    for seed in range(20):
        for number in ("8", "23"):
            aside, front = (
                crop.digits_DHW > 127 for crop in (unreadable("aside", seed, number), readable(seed, number))
            )
            widths = [np.count_nonzero(digits_DHW.any(axis=(0, 1))) for digits_DHW in (aside, front)]
            assert widths[0] <= 0.25 * widths[1] + 1


@pytest.mark.parametrize("kind", ["far", "defocused", "moved"])
def test_a_blur_leaves_less_detail_than_any_readable_crop_has(kind: str) -> None:
    """Of the contrast at half of a digit's height, less is left than at the worst that readable crops bear."""
    left = [detail(unreadable(kind, seed)) / detail(readable(seed)) for seed in range(40)]
    assert np.median(left) < 0.5


def detail(crop: Crop) -> float:
    """What differs from the crop in the finest resolution that shows no digit, sensor noise averaged out."""
    grey = Image.fromarray(crop.image_HW3).convert("L").reduce(4)
    rough = grey.reduce(4).resize(grey.size, Image.Resampling.BICUBIC)
    return float(np.std(np.asarray(grey, dtype=float) - np.asarray(rough, dtype=float)))
