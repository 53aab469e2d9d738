"""What an image looks like, in 784 bytes: enough to find its copies after re-encoding, resizing or mirroring.

The hash finds candidates: the signs of the 63 lowest frequencies of a 32 x 32 grey version, after
https://www.hackerfactor.com/blog/index.php?/archives/432-Looks-Like-It.html. The thumbnail decides: `same_picture`
compares candidates in colour. The thresholds were measured on copies of drawn crops of 40 to 160 pixels (JPEG quality
30 to 95, half to double size) and on 50 million pairs of other crops, 10,000 of four numbers at 64 pixels.

Shapes: N images, P pairs, S = 32 and T = 16 pixels, F = 8 frequencies.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GREY_PX = 32
THUMB_PX = 16
FREQUENCIES = 8
# Amplitudes below one grey level are noise of the encoder; a copy must not flip bits with them.
_DEAD_ZONE = 0.5

# Copies differ in 0 to 3 bits (median), 11 at most (13 where half the pixels of a 40 pixel crop were dropped); so do 7
# of 100,000 pairs of other crops.
MAX_DISTANCE = 12
# RMS difference of the thumbnails over their contrast: copies 0.04 to 0.3 (median) and 0.46 at most, crops below 64
# pixels apart; of the 6,500 pairs of other crops with near hashes none is below 0.55, and 44 are below 0.7.
_MAX_DIFFERENCE = 0.5
# A copy differs a little everywhere, the worst sixteenth 1.5 times (median) and up to 2.4 times as much as the whole;
# the same scene with another number in one place, 3 times (median) and up to 4. One in ten of those passes for a copy.
_MAX_CONCENTRATION = 2.5
# In grey levels (0 ... 255): below these, differences and contrasts are noise.
_NOISE = 4.0


def _dct_matrix(frequencies: int, size: int) -> NDArray[np.float32]:
    """Rows are cosines [F,S], scaled so that the transform of a wave is half its amplitude in each axis."""
    phases = (np.arange(size) + 0.5) * np.arange(frequencies)[:, None] * np.pi / size
    return (np.cos(phases) / size * np.sqrt(2)).astype(np.float32)


_DCT_FS = _dct_matrix(FREQUENCIES, GREY_PX)
_MIRROR_F = np.where(np.arange(FREQUENCIES) % 2, -1, 1).astype(np.float32)  # every other cosine changes its sign


@dataclass(frozen=True)
class Fingerprint:
    """Of one image.

    Args:
        hash: 64 bits.
        mirrored: the hash of the mirrored image.
        thumb_TTC: uint8 RGB.
    """

    hash: int
    mirrored: int
    thumb_TTC: NDArray[np.uint8]


def fingerprint(image_HWC: NDArray[np.uint8]) -> Fingerprint:
    """The fingerprint of an RGB image of any size."""
    small = Image.fromarray(image_HWC).resize((GREY_PX, GREY_PX), Image.Resampling.BILINEAR)
    grey_SS = np.asarray(small.convert("L"), dtype=np.float32)
    waves_FF = _DCT_FS @ grey_SS @ _DCT_FS.T
    return Fingerprint(_bits(waves_FF), _bits(waves_FF * _MIRROR_F), np.asarray(small.reduce(GREY_PX // THUMB_PX)))


def _bits(waves_FF: NDArray[np.floating]) -> int:
    signs = waves_FF > _DEAD_ZONE
    signs[0, 0] = False  # the brightness
    return int.from_bytes(np.packbits(signs).tobytes())


def same_picture(first_PTTC: NDArray[np.uint8], second_PTTC: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each pair of thumbnails [P,T,T,C] shows one picture, to be asked of pairs with near hashes."""
    first, second = first_PTTC.astype(np.float32), second_PTTC.astype(np.float32)
    squares_PTT = np.square(first - second).mean(axis=3)
    difference_P = np.sqrt(squares_PTT.mean(axis=(1, 2)))
    quarter = THUMB_PX // 4
    places_P44 = squares_PTT.reshape(-1, 4, quarter, 4, quarter).mean(axis=(2, 4))
    worst_P = np.sqrt(places_P44.max(axis=(1, 2)))
    contrast_P = np.maximum(_contrast(first), _contrast(second)).clip(min=_NOISE)
    spread_out_P = worst_P <= np.maximum(_MAX_CONCENTRATION * difference_P, 2 * _NOISE)
    return (difference_P <= _MAX_DIFFERENCE * contrast_P) & spread_out_P


def _contrast(thumbs_PTTC: NDArray[np.float32]) -> NDArray[np.float32]:
    mean_colour = thumbs_PTTC.mean(axis=(1, 2), keepdims=True)
    return np.sqrt(np.square(thumbs_PTTC - mean_colour).mean(axis=(1, 2, 3)))
