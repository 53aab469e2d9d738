"""The typefaces of each split and style, from a folder of font files or from those that come with dependencies.

Shapes: F typefaces, D = 10 digits, P pixels of a character, H W size.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFont

from jersey.core.errors import UserError
from jersey.core.labels import SplitName
from jersey.synth.settings import Style
from jersey.synth.typefaces import TRAIN, UNSEEN, FontTypeface, Typeface, random_block

SUFFIXES = (".otf", ".ttc", ".ttf", ".woff", ".woff2")
# A stroke that nearly closes the gaps of thin faces: a reader that has not seen it takes such a 5 for a 6.
_HEAVIER = 0.05
DIGITS = "0123456789"
_PROBE_PX = 60
_SHAPE_PX = (12, 16)  # width and height at which characters are compared
# Symbol fonts have at most 0.23 (TeX's cmsy10 and cmex10, Last Resort). The faces of docs/reader_fonts.txt have 0.36
# (Rampart One, which is outlined and has a shadow) to 0.96, and capital letters 0.36 or less.
_MIN_SIMILARITY = 0.3
# A face with less ink than this fraction of the boxes of its digits is too light for a jersey, and is made bolder.
_MIN_INK = 0.42
# Words in the name of a font that vary within one family.
_VARIANT = re.compile(
    r"\b(thin|hairline|(extra|ultra|semi|demi)?[- ]?(light|bold|black|condensed|expanded)|regular|book|medium|heavy"
    r"|italic|oblique|narrow|wide|text|sc|inline|stencil|display)\b",
    re.IGNORECASE,
)


@cache
def typefaces_of(split: SplitName, style: Style, fonts: str | None = None) -> tuple[Typeface, ...]:
    """Returns the typefaces of a split: train has its own, val and test share those that train lacks.

    Args:
        split: "train", "val" or "test".
        style: "varied" adds every font with a thicker stroke, and random block faces, to train.
        fonts: folder of font files; None uses those that come with dependencies.

    Raises:
        UserError: if the folder contains no font file, or one that cannot be used.
    """
    train, unseen = load_typefaces(Path(fonts)) if fonts else (TRAIN, UNSEEN)
    if split != "train":
        return unseen
    if style == "back":
        return train
    heavier = (replace(face, bolder=face.bolder + _HEAVIER) for face in train if isinstance(face, FontTypeface))
    blocks = (random_block(np.random.default_rng(seed)) for seed in range(len(train) // 3))
    return (*train, *heavier, *blocks)


def load_typefaces(folder: Path) -> tuple[tuple[FontTypeface, ...], tuple[FontTypeface, ...]]:
    """Loads all font files below a folder.

    A family is in one of the two parts only, with all weights and widths. Its part depends on its name alone, so
    another family in the folder changes nothing for it.

    Args:
        folder: folder with TTF, OTF, TTC, WOFF or WOFF2 files, also in subfolders.

    Returns:
        The typefaces for train, and the unseen ones for val and test: about a fifth of the families. If one part
        would be empty, as with a single family, both are all typefaces.

    Raises:
        UserError: if there is no font file, or one cannot be read or lacks a digit.
    """
    loaded = [_load(file) for file in font_files(folder)]
    train = [typeface for family, typeface in loaded if not _is_unseen(family)]
    unseen = [typeface for family, typeface in loaded if _is_unseen(family)]
    return tuple(train or unseen), tuple(unseen or train)


def font_files(folder: Path) -> list[Path]:
    """Returns the font files in a folder and below it, sorted; raises UserError if there is none."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise UserError(f"{folder} is not a folder with font files; put {', '.join(SUFFIXES)} files there")
    return files


def fonts_sha256(folder: Path) -> str:
    """Returns the hex SHA-256 of the paths below the folder and the contents of all its font files."""
    digest = hashlib.sha256()
    for file in font_files(folder):
        digest.update(file.relative_to(folder).as_posix().encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _is_unseen(family: str) -> bool:
    return hashlib.sha256(family.encode()).digest()[0] % 5 == 0


def _load(file: Path) -> tuple[str, FontTypeface]:
    """Returns the family of a font file and its typeface."""
    try:
        font = ImageFont.truetype(file, _PROBE_PX)
        masks = [_mask(font, digit) for digit in DIGITS]
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read as a font ({error}); remove it or replace it") from None
    # A missing character is rendered as an empty mask or as the same box as every other missing one.
    if min(mask.size for mask in masks) == 0 or len({(mask.shape, mask.tobytes()) for mask in masks}) < len(masks):
        raise UserError(f"{file} lacks digits; remove it or replace it by a font that contains 0 to 9")
    if _similarity_to_digits(masks) < _MIN_SIMILARITY:
        what = f"{file} has symbols in the places of its digits"
        raise UserError(f"{what}; remove it or replace it by a font that contains 0 to 9")
    name = font.getname()[0] or file.stem
    family = " ".join(_VARIANT.sub(" ", name).split()) or name
    return family, FontTypeface(file.stem, bolder=round(_lacking_stroke(masks), 3), file=str(file))


def _similarity_to_digits(masks: Sequence[np.ndarray]) -> float:
    """Returns the mean correlation of the masks of 0 to 9 with the same digit in jersey's most similar typeface."""
    shapes_DP = np.stack([_shape(mask) for mask in masks])
    return float((shapes_DP * _reference_shapes()).sum(axis=2).max(axis=0).mean())


@cache
def _reference_shapes() -> np.ndarray:
    """Returns the shapes of the digits in each of jersey's typefaces, float32 [F,D,P]."""
    faces = (*TRAIN, *UNSEEN)
    glyphs = [[face.glyph(digit, height_px=_PROBE_PX, stroke_px=0) for digit in DIGITS] for face in faces]
    return np.array([[_shape(np.asarray(glyph)) for glyph in of_face] for of_face in glyphs])


def _shape(mask_HW: np.ndarray) -> np.ndarray:
    """Returns the ink of a character, stretched to a fixed size and standardized to length 1, float32 [P]."""
    ink = Image.fromarray(mask_HW)
    pixels_P = np.asarray(ink.crop(ink.getbbox()).resize(_SHAPE_PX, Image.Resampling.BOX), np.float32).ravel()
    centered_P = pixels_P - pixels_P.mean()
    return centered_P / max(float(np.linalg.norm(centered_P)), 1e-6)


def _mask(font: ImageFont.FreeTypeFont, character: str) -> np.ndarray:
    mask = font.getmask(character)
    return np.asarray(mask, dtype=np.uint8).reshape(mask.size[::-1])


def _lacking_stroke(masks: Sequence[np.ndarray]) -> float:
    """Returns the additional stroke, as a fraction of the height, that gives the digits about `_MIN_INK`."""
    ink = float(np.mean([(mask > 127).mean() for mask in masks]))
    return min(0.1, max(0.0, _MIN_INK - ink) / 2)
