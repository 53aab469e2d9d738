"""Crops of the style "varied": they vary in everything that is requested, and their number remains legible."""

from collections import Counter
from functools import cache

import numpy as np
import pytest
from PIL import Image

from jersey.synth import garments, varied
from jersey.synth.crop import KINDS, LEGIBLE, Crop, Kind
from jersey.synth.fonts import typefaces_of
from jersey.synth.prints import random_print
from jersey.synth.typefaces import TRAIN, TRAIN_FONTS
from jersey.synth.varied import render_varied
from jersey.synth.wide_camera import MIN_DIGIT_PX

NUMBERS = ("0", "00", "01", "1", "7", "11", "23", "68", "99")
SIZE_PX = 120
FACES = typefaces_of("train", "varied")


@cache
def crop(seed: int, kind: Kind = LEGIBLE, size_px: int = SIZE_PX) -> tuple[str, Crop]:
    number = NUMBERS[seed % len(NUMBERS)]
    rng = np.random.default_rng(seed)
    return number, render_varied(number, rng=rng, typefaces=FACES, size_px=size_px, kind=kind)


def crops(count: int = 150) -> list[tuple[str, Crop]]:
    return [crop(seed) for seed in range(count)]


def test_the_generator_alone_decides_about_a_crop() -> None:
    again = {}
    for seed in (3, 3, 4):
        rendered = render_varied("23", rng=np.random.default_rng(seed), typefaces=FACES, size_px=SIZE_PX)
        pixels = rendered.image_HW3.tobytes() + rendered.digits_DHW.tobytes()
        assert again.setdefault(seed, pixels) == pixels
    assert again[3] != again[4]


@pytest.mark.parametrize("size_px", [32, SIZE_PX, 200])
def test_sides_lie_between_12_pixels_and_the_maximum(size_px: int) -> None:
    shapes = [crop(seed, size_px=size_px)[1].image_HW3.shape for seed in range(60)]
    sides = np.array(shapes)[:, :2]
    assert sides.min() >= 12
    assert sides.max() <= size_px
    assert sides.max(axis=1).min() < 20
    assert sides.max() > 0.8 * size_px
    ratios = sides[:, 0] / sides[:, 1]
    assert ratios.min() < 0.8
    assert ratios.max() > 1.2


def test_each_digit_has_a_fill_of_the_size_of_the_image_from_left_to_right() -> None:
    for number, rendered in crops():
        assert rendered.image_HW3.dtype == rendered.digits_DHW.dtype == np.uint8
        assert rendered.digits_DHW.shape == (len(number), *rendered.image_HW3.shape[:2])
        assert rendered.typeface in FACES
        x_W = np.arange(rendered.digits_DHW.shape[2])
        middles = [np.average(x_W, weights=digit_HW.sum(axis=0)) for digit_HW in rendered.digits_DHW]
        assert middles == sorted(middles)


def test_no_digit_of_a_number_is_outside_of_its_crop() -> None:
    """The areas of two equal digits differ by perspective and by the small cut of some crops, not by most of one."""
    for seed in range(150):
        rendered = render_varied("88", rng=np.random.default_rng(seed), typefaces=FACES, size_px=SIZE_PX)
        areas = rendered.digits_DHW.sum(axis=(1, 2), dtype=float)
        assert areas.min() > 0.35 * areas.max()


def test_legible_digits_have_a_minimum_height_and_contrast() -> None:
    heights, contrasts = [], []
    for _, rendered in crops():
        ink_HW = rendered.mask_HW
        rows = np.flatnonzero((ink_HW > 100).any(axis=1))
        columns = np.flatnonzero((ink_HW > 100).any(axis=0))
        near = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        image_HW3, ink_HW = rendered.image_HW3[near], ink_HW[near]
        if (ink_HW > 160).any() and (ink_HW < 80).any():
            ink_3, cloth_3 = image_HW3[ink_HW > 160].mean(axis=0), image_HW3[ink_HW < 80].mean(axis=0)
            contrasts.append(np.abs(ink_3 - cloth_3).max())
        heights.append(len(rows))
    assert np.quantile(heights, 0.02) >= MIN_DIGIT_PX - 1
    assert np.median(heights) > 2 * MIN_DIGIT_PX
    assert len(contrasts) > 0.8 * len(heights)
    assert np.quantile(contrasts, 0.02) > 20


def test_a_crop_whose_number_has_faded_is_rendered_again_if_it_is_to_be_legible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, made = varied._photograph, []

    def faded(*args: object) -> Crop:
        rendered = real(*args)
        is_first = not made
        made.append(rendered)
        return Crop(np.full_like(rendered.image_HW3, 90), rendered.digits_DHW, FACES[0]) if is_first else rendered

    monkeypatch.setattr(varied, "_photograph", faded)
    for kind, renderings in ((LEGIBLE, 2), (KINDS["blank"], 1)):
        made.clear()
        render_varied("8", rng=np.random.default_rng(0), typefaces=FACES, size_px=SIZE_PX, kind=kind)
        assert len(made) == renderings


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"aside"}))
def test_illegible_crops_show_less_of_the_number_than_legible_ones(kind: str) -> None:
    """Compares how well the brightness follows the ink, at the scale of strokes: 1 is a perfect print."""
    legible = [print_strength(crop(seed)[1]) for seed in range(60)]
    illegible = [print_strength(crop(seed, KINDS[kind])[1]) for seed in range(60)]
    assert np.median(illegible) < 0.6 * np.median(legible)


def print_strength(rendered: Crop) -> float:
    """Returns the correlation of ink and color in the box of the number, in the channel where it is the strongest."""
    box = Image.fromarray(rendered.mask_HW).getbbox()
    if box is None:
        return 0.0
    ink_HW, image = Image.fromarray(rendered.mask_HW).crop(box), Image.fromarray(rendered.image_HW3).crop(box)
    ink_N, image_N3 = np.asarray(ink_HW, dtype=float).ravel(), np.asarray(image, dtype=float).reshape(-1, 3)
    if not ink_N.std() or not image_N3.std(axis=0).all():
        return 0.0
    return max(abs(np.corrcoef(ink_N, image_N3[:, channel])[0, 1]) for channel in range(3))


def test_digits_on_a_player_seen_from_the_side_are_narrow() -> None:
    legible, aside = ([aspect_ratio(crop(seed, kind)[1]) for seed in range(60)] for kind in (LEGIBLE, KINDS["aside"]))
    assert np.median(aside) < 0.4 * np.median(legible)


def aspect_ratio(rendered: Crop) -> float:
    ink_DHW = rendered.digits_DHW > 100
    return np.count_nonzero(ink_DHW.any(axis=(0, 1))) / max(1, np.count_nonzero(ink_DHW.any(axis=(0, 2))))


def test_every_garment_appears_and_a_player_from_the_side_wears_a_jersey(monkeypatch: pytest.MonkeyPatch) -> None:
    worn: list[tuple[str, str]] = []
    real = garments.paint_garment

    def spy(scene: Image.Image, easel: object, garment: str, *rest: object) -> Image.Image:
        cloth = real(scene, easel, garment, *rest)
        worn.append((kind, garment))
        assert (cloth.mode, cloth.size) == ("L", scene.size)
        middle = cloth.getpixel((scene.width // 2, scene.height // 2))
        assert middle == 255 or kind == "aside", "the number is on the cloth"
        return cloth

    monkeypatch.setattr(varied, "paint_garment", spy)
    for seed in range(60):
        for kind in ("legible", "aside"):
            rng = np.random.default_rng(seed)
            render_varied("7", rng=rng, typefaces=TRAIN, size_px=32, kind=KINDS.get(kind, LEGIBLE))
    assert {garment for kind, garment in worn if kind == "legible"} == set(garments.GARMENTS)
    assert {garment for kind, garment in worn if kind == "aside"} == {"back"}


def test_names_neighbors_and_halls_appear_in_some_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()

    def spy(module: object, name: str) -> None:
        real = getattr(module, name)

        def counted(*args: object, **kwargs: object) -> object:
            calls[name] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)

    for module, name in (
        (garments, "print_name"), (garments, "paint_hall"), (varied, "paint_neighbor"), (varied, "occlude"),
    ):  # fmt: skip
        spy(module, name)
    for seed in range(80):
        render_varied("7", rng=np.random.default_rng(seed), typefaces=TRAIN, size_px=32)
    assert set(calls) == {"print_name", "paint_hall", "paint_neighbor", "occlude"}
    assert all(8 <= calls[name] < 76 for name in ("paint_hall", "paint_neighbor", "occlude"))


@pytest.mark.parametrize("height_px", [20, 60, 200])
def test_a_print_has_the_requested_size_and_its_digits_do_not_overlap(height_px: int) -> None:
    for seed in range(25):
        rng = np.random.default_rng(seed)
        print_ = random_print(
            "68", typeface=TRAIN_FONTS[0], height_px=height_px, max_width_px=2 * height_px, outlines=2, rng=rng
        )
        assert len(print_.layers) == 3
        assert len({mask.size for mask in (*print_.layers, *print_.digits)}) == 1
        fills_DHW = np.stack([np.asarray(mask) for mask in print_.digits]) > 127
        assert not fills_DHW.all(axis=0).any()
        outer_HW, _, fill_HW = (np.asarray(layer) > 127 for layer in print_.layers)
        assert outer_HW.sum() > fill_HW.sum() > 0
        rows = np.flatnonzero(fills_DHW.any(axis=(0, 2)))
        assert abs(len(rows) - height_px) <= 0.12 * height_px + 2
        _, width = fill_HW.shape
        assert width <= 2 * height_px + height_px, "the maximum, and the reach of a slant"


def test_a_print_is_condensed_to_the_maximum_width() -> None:
    widths = []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        print_ = random_print("88", typeface=TRAIN_FONTS[0], height_px=60, max_width_px=30, outlines=0, rng=rng)
        widths.append(print_.layers[0].width)
    assert np.median(widths) == 30
