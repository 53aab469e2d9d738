"""Every typeface renders ten different digits, and train shares no font family with val and test."""

from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from jersey.synth.typefaces import TRAIN, TRAIN_FONTS, UNSEEN, UNSEEN_FONTS, FontTypeface

FACES = {face.name: face for face in (*TRAIN, *UNSEEN)}


def box(mask: Image.Image) -> np.ndarray:
    return np.asarray(mask.resize((24, 32), Image.Resampling.BOX, mask.getbbox())) > 127


@pytest.mark.parametrize("name", FACES)
def test_ten_digits_differ_and_have_the_requested_height(name: str) -> None:
    glyphs = [FACES[name].glyph(digit, height_px=80, stroke_px=0) for digit in "0123456789"]
    for glyph in glyphs:
        _, top, _, bottom = glyph.getbbox()
        assert abs(bottom - top - 80) <= 7
    for first, second in combinations(glyphs, 2):
        assert np.mean(box(first) ^ box(second)) > 0.03


@pytest.mark.parametrize("name", FACES)
def test_a_stroke_extends_the_ink_evenly_inside_of_the_mask(name: str) -> None:
    plain, outlined = (FACES[name].glyph("5", height_px=80, stroke_px=stroke_px) for stroke_px in (0, 6))
    for glyph in (plain, outlined):
        left, top, right, bottom = glyph.getbbox()
        assert min(left, top, glyph.width - right, glyph.height - bottom) >= 1, "ink touches the border"
    dx, dy = (outlined.width - plain.width) // 2, (outlined.height - plain.height) // 2
    (left, top, right, bottom), (left_o, top_o, right_o, bottom_o) = plain.getbbox(), outlined.getbbox()
    grown = (left + dx - left_o, top + dy - top_o, right_o - right - dx, bottom_o - bottom - dy)
    assert all(3.5 <= px <= 8.5 for px in grown), grown


def test_train_has_no_font_family_of_the_other_splits() -> None:
    families = [{family(name) for name in names} for names in ({f.name for f in TRAIN}, {f.name for f in UNSEEN})]
    assert len(FACES) == len(TRAIN) + len(UNSEEN)
    assert not families[0] & families[1]


def family(name: str) -> str:
    for known in ("DejaVuSans", "DejaVuSerif", "STIX"):
        if name.startswith(known):
            return known
    return name


@pytest.mark.parametrize("font", [*TRAIN_FONTS, *UNSEEN_FONTS], ids=lambda font: font.name)
def test_fonts_have_the_letters_of_names(font: FontTypeface) -> None:
    masks = [font.font(40).getmask(letter) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    assert len({bytes(mask) for mask in masks}) == 26
