"""Font files of a folder: which splits print with them, and which files are errors.

`digits.woff2` was written by `helpers.fonts.write_font`, with brotli (`uv run --with brotli`).
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.fonts import DIGITS, write_font

from jersey.synth.crop import render_crop
from jersey.synth.fonts import load_typefaces, typefaces_of
from jersey.synth.settings import STYLES, Style
from jersey.synth.typefaces import TRAIN, UNSEEN, BlockTypeface, FontTypeface
from jersey.synth.varied import render_varied

WOFF2 = Path(__file__).with_name("digits.woff2")
FAMILIES = [f"League {name}" for name in ("Ada", "Bo", "Cy", "Dee", "Eli", "Flo", "Gus", "Hal", "Ida", "Joe", "Kim")]


def names(typefaces: tuple[FontTypeface, ...]) -> set[str]:
    return {typeface.name for typeface in typefaces}


def test_another_family_moves_none_to_the_other_part(tmp_path: Path) -> None:
    for family in FAMILIES:
        write_font(tmp_path / f"{family}.ttf", family)
    train, unseen = map(names, load_typefaces(tmp_path))
    assert train
    assert unseen
    assert train | unseen == set(FAMILIES)
    assert not train & unseen
    for file_name, family in (("a.ttf", "Another"), ("z.ttf", "Zeta"), ("m/n.ttf", "Nu")):
        write_font(tmp_path / file_name, family)
        more_train, more_unseen = map(names, load_typefaces(tmp_path))
        assert (more_train & set(FAMILIES), more_unseen & set(FAMILIES)) == (train, unseen)


def test_weights_and_widths_of_a_family_are_in_one_part(tmp_path: Path) -> None:
    variants = ("", " Bold", " ExtraLight", " Semi Condensed", " Condensed Black Italic")
    for family in FAMILIES:
        for number, variant in enumerate(variants):
            write_font(tmp_path / f"{family}-{number}.ttf", family + variant)
    parts = load_typefaces(tmp_path)
    assert len(parts[0]) + len(parts[1]) == len(variants) * len(FAMILIES)
    families = [{name.rpartition("-")[0] for name in names(part)} for part in parts]
    assert all(families)
    assert not families[0] & families[1]


def test_a_single_family_is_in_both_parts(tmp_path: Path) -> None:
    write_font(tmp_path / "one.ttf", "Only")
    train, unseen = load_typefaces(tmp_path)
    assert train == unseen
    assert len(train) == 1


def test_ttf_woff_and_woff2_print_equal_digits(tmp_path: Path) -> None:
    for name in ("sub/plain.ttf", "zipped.woff"):
        write_font(tmp_path / name, "Same")
    shutil.copy(WOFF2, tmp_path / "sub")
    (tmp_path / "license.txt").write_text("free", encoding="utf-8")
    typefaces = {typeface for part in load_typefaces(tmp_path) for typeface in part}
    assert names(typefaces) == {"plain", "zipped", "digits"}
    glyphs = {bytes(face.glyph("4", height_px=40, stroke_px=2).tobytes()) for face in typefaces}
    assert len(glyphs) == 1


@pytest.mark.parametrize("face", ["cmmi10", "cmti10", "DejaVuSerif-Italic", "STIXGeneralItalic", "DejaVuSansMono"])
def test_faces_that_jersey_does_not_use_have_digits_too(tmp_path: Path, face: str) -> None:
    """The digits of cmmi10 have descenders, and those of the others are slanted."""
    write_font(tmp_path / "a.ttf", "A", face=face)
    assert names(load_typefaces(tmp_path)[0]) == {"a"}


def test_light_faces_are_made_bolder(tmp_path: Path) -> None:
    for face in ("DejaVuSans-Bold", "DejaVuSans"):
        write_font(tmp_path / f"{face}.ttf", face, face=face)
    faces = {face.name: face for part in load_typefaces(tmp_path) for face in part}
    assert faces["DejaVuSans"].bolder > faces["DejaVuSans-Bold"].bolder
    inks = [np.mean(np.asarray(face.glyph("8", height_px=60, stroke_px=0)) > 127) for face in faces.values()]
    assert max(inks) < 1.25 * min(inks)


@pytest.mark.parametrize("render", [render_crop, render_varied])
def test_a_font_without_letters_prints_numbers(tmp_path: Path, render: Callable) -> None:
    write_font(tmp_path / "digits.ttf", "Digits")
    typefaces, _ = load_typefaces(tmp_path)
    for seed in range(12):
        crop = render("23", rng=np.random.default_rng(seed), typefaces=typefaces, size_px=48)
        assert crop.mask_HW.max() > 127


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("has_folder", [False, True])
def test_val_and_test_share_typefaces_that_train_lacks(tmp_path: Path, style: Style, has_folder: bool) -> None:
    for family in FAMILIES if has_folder else ():
        write_font(tmp_path / f"{family}.ttf", family)
    fonts = str(tmp_path) if has_folder else None
    train, val, test = (typefaces_of(split, style, fonts) for split in ("train", "val", "test"))
    assert val == test
    assert not set(train) & set(val)
    assert {face.name for face in (*train, *val)} >= set(FAMILIES if has_folder else names((*TRAIN, *UNSEEN)))


def test_only_the_style_varied_adds_heavier_and_block_faces_which_are_the_same_each_time() -> None:
    plain, varied = (typefaces_of("train", style) for style in STYLES)
    assert (plain, varied[: len(plain)]) == (TRAIN, TRAIN)
    fonts = [face for face in TRAIN if isinstance(face, FontTypeface)]
    heavier, blocks = varied[len(plain) :][: len(fonts)], varied[len(plain) + len(fonts) :]
    for face, other in zip(fonts, heavier, strict=True):
        assert isinstance(other, FontTypeface)
        assert (other.name, other.bolder > face.bolder) == (face.name, True)
    assert len({(block.stroke, block.width) for block in blocks if isinstance(block, BlockTypeface)}) == len(blocks) > 1
    typefaces_of.cache_clear()
    assert typefaces_of("train", "varied") == varied


def lacks_a_digit(folder: Path) -> None:
    write_font(folder / "bad.ttf", "Short", text=DIGITS.replace("7", "") + "AB")


def lacks_all_digits(folder: Path) -> None:
    write_font(folder / "bad.ttf", "Letters", text="ABC")


def is_a_symbol_font(folder: Path) -> None:
    write_font(folder / "bad.ttf", "Symbols", face="cmsy10")


def is_text(folder: Path) -> None:
    folder.mkdir()
    (folder / "bad.ttf").write_text("no font", encoding="utf-8")


def is_cut_off(folder: Path) -> None:
    folder.mkdir()
    (folder / "bad.woff2").write_bytes(WOFF2.read_bytes()[:900])


def is_a_file(folder: Path) -> None:
    write_font(folder.with_suffix(".ttf"), "Single")
    folder.with_suffix(".ttf").rename(folder)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lacks_a_digit, "bad.ttf lacks digits; remove it"),
        (lacks_all_digits, "bad.ttf lacks digits; remove it"),
        (is_a_symbol_font, "bad.ttf has symbols in the places of its digits; remove it"),
        (is_text, "bad.ttf cannot be read as a font"),
        (is_cut_off, "bad.woff2 cannot be read as a font"),
        (Path.mkdir, "fonts is not a folder with font files; put .otf"),
        (is_a_file, "fonts is not a folder with font files; put .otf"),
        (lambda folder: None, "fonts is not a folder with font files; put .otf"),
    ],
    ids=["digit", "digits", "symbols", "text", "cut", "empty", "file", "missing"],
)
def test_bad_fonts_are_one_sentence_and_leave_no_files(tmp_path: Path, make: Callable, words: str) -> None:
    fonts = tmp_path / "fonts"
    make(fonts)
    if fonts.is_dir() and list(fonts.iterdir()):
        write_font(fonts / "good.ttf", "Good")
    before = set(tmp_path.rglob("*"))
    flags = (str(tmp_path / "deep" / "crops"), "--numbers=1,2", "--train=2", "--val=2", "--test=2", f"--fonts={fonts}")
    command = [sys.executable, "-m", "jersey.synth", *flags]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path}")
    assert words in line
    assert set(tmp_path.rglob("*")) == before
