"""Crops depend on their generator alone; their number is inside of the frame, and legible or illegible as requested."""

import numpy as np
import pytest
from PIL import Image

from jersey.synth import colors
from jersey.synth.crop import KINDS, Crop, paint, render_crop
from jersey.synth.occlusion import MIN_DISTINCTIVE_VISIBLE, distinctive_visible, occlude, occlude_fully
from jersey.synth.typefaces import TRAIN, TRAIN_FONTS, UNSEEN

NUMBERS = ("0", "00", "01", "1", "7", "11", "23", "68", "99")


def crop(number: str, seed: int, size_px: int = 64) -> Crop:
    return render_crop(number, rng=np.random.default_rng(seed), typefaces=TRAIN, size_px=size_px)


@pytest.mark.parametrize("size_px", [48, 96, 224])
def test_crops_have_the_requested_shape_and_uint8_pixels(size_px: int) -> None:
    rendered = crop("8", 0, size_px)
    assert rendered.image_HW3.shape == (size_px, size_px, 3)
    assert rendered.mask_HW.shape == (size_px, size_px)
    assert rendered.image_HW3.dtype == rendered.mask_HW.dtype == np.uint8


def test_digits_have_separate_fills_from_left_to_right_in_one_of_the_typefaces() -> None:
    for seed, number in enumerate(NUMBERS):
        rendered = crop(number, seed)
        assert len(rendered.digits_DHW) == len(number)
        assert rendered.typeface in TRAIN
        assert np.array_equal(rendered.digits_DHW.max(axis=0), rendered.mask_HW)
        middles = [np.average(np.arange(64), weights=digit_HW.sum(axis=0)) for digit_HW in rendered.digits_DHW]
        assert middles == sorted(middles)
        assert rendered.digits_DHW.min(axis=0).mean() < 0.05 * rendered.mask_HW.mean() or len(number) == 1


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


def test_0_and_00_and_01_have_different_aspect_ratios() -> None:
    widths = {number: np.mean([aspect_ratio(crop(number, seed)) for seed in range(30)]) for number in ("0", "00", "01")}
    assert widths["00"] > 1.05 * widths["01"] > 1.3 * widths["0"]


def aspect_ratio(rendered: Crop) -> float:
    left, top, right, bottom = Image.fromarray(rendered.mask_HW).getbbox()
    return (right - left) / (bottom - top)


def test_digits_are_not_mirrored() -> None:
    face = TRAIN[0]
    flat_HW = in_box(face.glyph("4", height_px=60, stroke_px=0))
    for seed in range(40):
        rendered = render_crop("4", rng=np.random.default_rng(seed), typefaces=[face], size_px=96)
        rendered_HW = in_box(Image.fromarray(rendered.mask_HW))
        assert np.mean(rendered_HW == flat_HW) > np.mean(rendered_HW == flat_HW[:, ::-1])


def in_box(mask: Image.Image) -> np.ndarray:
    return np.asarray(mask.resize((24, 32), Image.Resampling.BOX, mask.getbbox())) > 127


def test_fill_and_cloth_have_the_minimum_contrast() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        kit = colors.pick_kit(rng)
        assert abs(colors.luma(kit.cloth) - colors.luma(kit.fill)) >= colors.MIN_CONTRAST


@pytest.mark.parametrize("typeface", [*TRAIN, *UNSEEN], ids=lambda face: face.name)
def test_an_occluder_over_the_gap_of_a_6_makes_it_ambiguous(typeface) -> None:
    glyph = typeface.glyph("6", height_px=60, stroke_px=0)
    left, top, right, bottom = glyph.getbbox()
    empty, gap, everything = (Image.new("L", glyph.size) for _ in range(3))
    gap.paste(255, (left + (right - left) * 2 // 5, top + (bottom - top) // 8, glyph.width, (top + bottom) // 2))
    everything.paste(255, (0, 0, *glyph.size))
    assert distinctive_visible("6", glyph, empty, typeface) == 1.0
    assert distinctive_visible("6", glyph, gap, typeface) < MIN_DISTINCTIVE_VISIBLE
    assert distinctive_visible("6", glyph, everything, typeface) == 0.0


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


def illegible(kind: str, seed: int, number: str = "23") -> Crop:
    return render_crop(number, rng=np.random.default_rng(seed), typefaces=TRAIN, size_px=64, kind=KINDS[kind])


def test_a_blank_back_does_not_depend_on_the_number() -> None:
    for seed in range(10):
        scenes = {
            (number, back): paint(
                number, rng=np.random.default_rng(seed), typefaces=TRAIN_FONTS[:1], size_px=48, back=back
            ).scene.tobytes()
            for number in ("3", "8")
            for back in ("number", "blank")
        }
        assert scenes["3", "blank"] == scenes["8", "blank"]
        assert scenes["3", "number"] != scenes["8", "number"]


def test_less_than_a_tenth_of_a_hidden_digit_is_visible() -> None:
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


def test_digits_on_a_player_seen_from_the_side_are_narrow() -> None:
    for seed in range(20):
        for number in ("8", "23"):
            aside, front = (
                rendered.digits_DHW > 127 for rendered in (illegible("aside", seed, number), crop(number, seed))
            )
            widths = [np.count_nonzero(digits_DHW.any(axis=(0, 1))) for digits_DHW in (aside, front)]
            assert widths[0] <= 0.25 * widths[1] + 1


@pytest.mark.parametrize("kind", ["far", "defocused", "moved"])
def test_illegible_blur_leaves_less_detail_than_legible_blur(kind: str) -> None:
    """The contrast at half of a digit's height is less than half of that of legible crops in the median."""
    left = [detail(illegible(kind, seed)) / detail(crop("23", seed)) for seed in range(40)]
    assert np.median(left) < 0.5


def detail(rendered: Crop) -> float:
    """Returns the contrast between two resolutions: one averages out sensor noise, the coarser one shows no digit."""
    gray = Image.fromarray(rendered.image_HW3).convert("L").reduce(4)
    rough = gray.reduce(4).resize(gray.size, Image.Resampling.BICUBIC)
    return float(np.std(np.asarray(gray, dtype=float) - np.asarray(rough, dtype=float)))
