"""Which image files show one picture: byte for byte, nearly, or mirrored. Copies of copies are one group.

Fingerprints find copies after re-encoding, resizing or mirroring. Their hashes find candidates: the signs of the 63
lowest frequencies of a 32 x 32 grey version, https://www.hackerfactor.com/blog/index.php?/archives/432-Looks-Like-It.html.
Their thumbnails decide, in color. The thresholds were measured on copies of synthetic crops of 40 to 160 pixels (JPEG
quality 30 to 95, half to double size) and on 50 million pairs of other crops, 10,000 of four numbers at 64 pixels.

All pairs of hashes are compared: an index that misses nothing at a distance of 12 bits opens most of its buckets.

Shapes: N files, M distinct ones, P pairs, R rows and C columns of a tile, S = 32 and T = 16 pixels, F = 8 frequencies.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

ROWS = 8
COLUMNS = 4096  # a tile holds 32,768 pairs, whose thumbnails fit into memory where all are near

Indices = NDArray[np.intp]
GREY_PX = 32
THUMB_PX = 16
FREQUENCIES = 8
FINGERPRINT = np.dtype([("hash", np.uint64), ("mirrored", np.uint64), ("thumb_TTC", np.uint8, (THUMB_PX, THUMB_PX, 3))])
"""Of an image: its hash, the hash of the mirrored image, and a thumbnail in RGB."""

_DEAD_ZONE = 0.5  # amplitudes below one grey level are noise of the encoder, with which a copy must not flip bits
# Copies differ in 0 to 3 bits (median), 11 at most (13 where half the pixels of a 40 pixel crop were dropped); so do 7
# of 100,000 pairs of other crops.
MAX_DISTANCE = 12
# RMS difference of the thumbnails over their contrast: copies 0.04 to 0.3 (median) and 0.46 at most, crops below 64
# pixels apart; of the 6,500 pairs of other crops with near hashes none is below 0.55, and 44 are below 0.7.
_MAX_DIFFERENCE = 0.5
# A copy differs a little everywhere, the worst sixteenth 1.5 times (median) and up to 2.4 times as much as the whole;
# the same scene with another number in one place, 3 times (median) and up to 4. One in ten of those passes for a copy.
_MAX_CONCENTRATION = 2.5
_NOISE = 4.0  # grey levels of 255: differences and contrasts below

# Rows are cosines, scaled so that the transform of a wave is half its amplitude in each axis.
_PHASES_FS = (np.arange(GREY_PX) + 0.5) * np.arange(FREQUENCIES)[:, None] * np.pi / GREY_PX
_DCT_FS = (np.cos(_PHASES_FS) / GREY_PX * np.sqrt(2)).astype(np.float32)
_MIRROR_F = np.where(np.arange(FREQUENCIES) % 2, -1, 1).astype(np.float32)  # every other cosine changes its sign


def copy_groups(digests_N32: NDArray[np.uint8], looks_N: np.ndarray | None) -> tuple[Indices, set[int]]:
    """The group of each file, and the groups that only a mirrored copy holds together.

    Files have the same bytes where their digests agree; with `looks_N`, FINGERPRINT of each, others are found too.
    """
    _, first_M, inverse_N = np.unique(digests_N32, axis=0, return_index=True, return_inverse=True)
    inverse_N = inverse_N.reshape(-1)  # one release of numpy gives a column
    if looks_N is None:
        return inverse_N, set()
    looks_M, group_M = looks_N[first_M], np.arange(len(first_M))
    thumbs_MTTC, mirrored = looks_M["thumb_TTC"], [np.empty(0, np.intp)]
    for flip, right_M in ((False, looks_M["hash"]), (True, looks_M["mirrored"])):
        description = "comparing mirrored" if flip else "comparing images"
        for i_P, j_P in near_pairs(looks_M["hash"], right_M, max_distance=MAX_DISTANCE, description=description):
            if not (apart_P := group_M[i_P] != group_M[j_P]).any():
                continue
            i_P, j_P = i_P[apart_P], j_P[apart_P]
            right_PTTC = thumbs_MTTC[j_P][:, :, ::-1] if flip else thumbs_MTTC[j_P]
            same_P = same_picture(thumbs_MTTC[i_P], right_PTTC)
            join_groups(group_M, i_P[same_P], j_P[same_P])
            mirrored += [i_P[same_P]] if flip else []
    return group_M[inverse_N], set(group_M[np.concatenate(mirrored)].tolist())


def join_groups(group_M: Indices, i_P: Indices, j_P: Indices) -> None:
    """Makes one group of the two groups of each pair, in place; a group is named after its first member."""
    while (apart_P := group_M[i_P] != group_M[j_P]).any():
        groups_2P = np.stack([group_M[i_P[apart_P]], group_M[j_P[apart_P]]])
        # A group that is the higher one in several pairs goes to one of the others; the next turn sees to the rest.
        group_M[groups_2P.max(axis=0)] = groups_2P.min(axis=0)
        while not np.array_equal(group_M, above_M := group_M[group_M]):
            group_M[:] = above_M


def near_pairs(
    left_M: NDArray[np.uint64], right_M: NDArray[np.uint64], *, max_distance: int, description: str | None = None
) -> Iterator[tuple[Indices, Indices]]:
    """Yields index arrays (i_P, j_P), i < j, of pairs where left[i] and right[j] differ in at most `max_distance` bits.

    For mirrored copies `right_M` are the hashes of the mirrored images. A description is that of a progress bar.
    """
    tops = range(0, len(left_M), ROWS)
    for top in tqdm(tops, desc=description, unit="images", unit_scale=ROWS, disable=True if not description else None):
        for start in range(top, len(right_M), COLUMNS):
            columns_C = right_M[start : start + COLUMNS]
            near_RC = np.bitwise_count(left_M[top : top + ROWS, None] ^ columns_C) <= max_distance
            # Ten times as fast as np.nonzero of the two-dimensional array.
            i_P, j_P = np.divmod(np.flatnonzero(near_RC), len(columns_C))
            i_P, j_P = i_P + top, j_P + start
            after = i_P < j_P
            if after.any():
                yield i_P[after], j_P[after]


def fingerprint(image_HWC: NDArray[np.uint8]) -> tuple[int, int, NDArray[np.uint8]]:
    """The FINGERPRINT of an RGB image of any size."""
    small = Image.fromarray(image_HWC).resize((GREY_PX, GREY_PX), Image.Resampling.BILINEAR)
    grey_SS = np.asarray(small.convert("L"), dtype=np.float32)
    waves_FF = _DCT_FS @ grey_SS @ _DCT_FS.T
    return _bits(waves_FF), _bits(waves_FF * _MIRROR_F), np.asarray(small.reduce(GREY_PX // THUMB_PX))


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
    mean_color = thumbs_PTTC.mean(axis=(1, 2), keepdims=True)
    return np.sqrt(np.square(thumbs_PTTC - mean_color).mean(axis=(1, 2, 3)))
