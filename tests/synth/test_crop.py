"""Crops: a function of their generator alone, with a readable number inside the frame."""

import numpy as np
import pytest
from PIL import Image

from jersey.synth import colors
from jersey.synth.crop import Crop, render_crop
from jersey.synth.occlusion import MIN_TELLING_VISIBLE, occlude, telling_visible
from jersey.synth.typefaces import TRAIN, UNSEEN

NUMBERS = ("0", "00", "01", "1", "7", "11", "23", "68", "99")


def crop(number: str, seed: int, size_px: int = 64) -> Crop:
    return render_crop(number, rng=np.random.default_rng(seed), typefaces=TRAIN, size_px=size_px)


def test_the_same_generator_draws_the_same_crop_and_another_does_not() -> None:
    first, again, other = crop("23", 5), crop("23", 5), crop("23", 6)
    assert np.array_equal(first.image_HW3, again.image_HW3)
    assert np.array_equal(first.mask_HW, again.mask_HW)
    assert not np.array_equal(first.image_HW3, other.image_HW3)


@pytest.mark.parametrize("size_px", [48, 96, 224])
def test_shapes_and_types(size_px: int) -> None:
    drawn = crop("8", 0, size_px)
    assert drawn.image_HW3.shape == (size_px, size_px, 3)
    assert drawn.mask_HW.shape == (size_px, size_px)
    assert drawn.image_HW3.dtype == drawn.mask_HW.dtype == np.uint8


def test_each_digit_has_its_own_fill_left_to_right_in_one_of_the_typefaces() -> None:
    for seed, number in enumerate(NUMBERS):
        drawn = crop(number, seed)
        assert len(drawn.digits_DHW) == len(number)
        assert drawn.typeface in TRAIN
        assert np.array_equal(drawn.digits_DHW.max(axis=0), drawn.mask_HW)
        middles = [np.average(np.arange(64), weights=digit_HW.sum(axis=0)) for digit_HW in drawn.digits_DHW]
        assert middles == sorted(middles)
        assert drawn.digits_DHW.min(axis=0).mean() < 0.05 * drawn.mask_HW.mean() or len(number) == 1


def test_the_number_is_large_and_inside_the_frame() -> None:
    cut = 0
    for seed in range(200):
        ink_HW = crop(NUMBERS[seed % len(NUMBERS)], seed).mask_HW > 127
        border = np.concatenate([ink_HW[0], ink_HW[-1], ink_HW[:, 0], ink_HW[:, -1]])
        assert np.ptp(np.flatnonzero(ink_HW.any(axis=1))) >= 0.2 * 64
        assert ink_HW.mean() > 0.01
        assert border.mean() < 0.15
        cut += border.any()
    assert 1 <= cut <= 16


def test_zero_double_zero_and_zero_one_are_three_pictures() -> None:
    widths = {number: np.mean([aspect_ratio(crop(number, seed)) for seed in range(30)]) for number in ("0", "00", "01")}
    assert widths["00"] > 1.05 * widths["01"] > 1.3 * widths["0"]


def aspect_ratio(drawn: Crop) -> float:
    left, top, right, bottom = Image.fromarray(drawn.mask_HW).getbbox()
    return (right - left) / (bottom - top)


def test_digits_are_not_mirrored() -> None:
    face = TRAIN[0]
    flat_HW = in_box(face.glyph("4", height_px=60, stroke_px=0))
    for seed in range(40):
        drawn = render_crop("4", rng=np.random.default_rng(seed), typefaces=[face], size_px=96)
        drawn_HW = in_box(Image.fromarray(drawn.mask_HW))
        assert np.mean(drawn_HW == flat_HW) > np.mean(drawn_HW == flat_HW[:, ::-1])


def in_box(mask: Image.Image) -> np.ndarray:
    return np.asarray(mask.resize((24, 32), Image.Resampling.BOX, mask.getbbox())) > 127


def test_fill_and_cloth_contrast() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        kit = colors.pick_kit(rng)
        assert abs(colors.luma(kit.cloth) - colors.luma(kit.fill)) >= colors.MIN_CONTRAST


@pytest.mark.parametrize("typeface", [*TRAIN, *UNSEEN], ids=lambda face: face.name)
def test_what_covers_the_gap_of_a_6_makes_it_undecidable(typeface) -> None:
    glyph = typeface.glyph("6", height_px=60, stroke_px=0)
    left, top, right, bottom = glyph.getbbox()
    nothing, gap, all_of_it = (Image.new("L", glyph.size) for _ in range(3))
    gap.paste(255, (left + (right - left) * 2 // 5, top + (bottom - top) // 8, glyph.width, (top + bottom) // 2))
    all_of_it.paste(255, (0, 0, *glyph.size))
    assert telling_visible("6", glyph, nothing, typeface) == 1.0
    assert telling_visible("6", glyph, gap, typeface) < MIN_TELLING_VISIBLE
    assert telling_visible("6", glyph, all_of_it, typeface) == 0.0


def test_an_occluder_never_hides_most_of_a_digit() -> None:
    touched = 0
    for seed in range(150):
        mask = Image.new("L", (96, 96))
        glyph = TRAIN[0].glyph("8", height_px=50, stroke_px=0)
        mask.paste(255, (30, 20), glyph)
        before = Image.new("RGB", (96, 96), (1, 2, 3))
        after = before.copy()
        occlude(after, [mask], number="8", typeface=TRAIN[0], rng=np.random.default_rng(seed))
        hidden_HW = (np.asarray(before) != np.asarray(after)).any(axis=2)
        ink_HW = np.asarray(mask) > 127
        fraction = np.count_nonzero(hidden_HW & ink_HW) / np.count_nonzero(ink_HW)
        touched += fraction > 0
        assert fraction < 0.5
    assert touched > 20
