"""Finds groups of image files with the same content: identical, nearly identical or mirrored copies.

Fingerprints find re-encoded, resized and mirrored copies. Perceptual hashes, the signs of the 63 lowest frequencies of
a 32 x 32 version (https://www.hackerfactor.com/blog/index.php?/archives/432-Looks-Like-It.html), select candidates,
and color thumbnails decide. The thresholds were measured on copies of synthetic crops of 40 to 160 pixels (JPEG quality
30 to 95, half to double size) and on 50 million pairs of different crops, 10,000 of four numbers at 64 pixels.

All pairs of hashes are compared, because an index that is exact at a distance of 12 bits would visit most of its
buckets.

Shapes: N files, M distinct ones, P pairs, R rows and C columns of a tile, S = 32 and T = 16 pixels, F = 8 frequencies.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from jersey.core.errors import UserError

# Pairs are compared in tiles of 32,768, whose thumbnails fit into memory even if all hashes are near.
TILE_ROWS = 8
TILE_COLUMNS = 4096

Indices = NDArray[np.intp]
GRAY_PX = 32
THUMB_PX = 16
FREQUENCIES = 8
FINGERPRINT = np.dtype([("hash", np.uint64), ("mirrored", np.uint64), ("thumb_TTC", np.uint8, (THUMB_PX, THUMB_PX, 3))])
"""The hash of an image, the hash of its mirrored image, and an RGB thumbnail."""

_DEAD_ZONE = 0.5  # amplitudes below one gray level are encoder noise, which must not flip the bits of a copy
# Bits in which the hashes of copies may differ. The median is 0 to 3 by kind of copy, and the largest distance is 11
# (13 if half the pixels of a 40 pixel crop were dropped). Of 100,000 pairs of different crops, 7 are as near.
MAX_DISTANCE = 12
# RMS difference of the thumbnails over their contrast. For copies the median is 0.04 to 0.3 by kind of copy, and the
# largest ratio 0.46, except for crops below 64 pixels. Of 6,500 pairs of different crops with near hashes none is below
# 0.55, and 44 are below 0.7.
MAX_DIFFERENCE = 0.5
# RMS difference of the worst sixteenth over that of the whole. A copy differs a little everywhere: the median is 1.5,
# and the largest ratio 2.4. For another number in the same scene the median is 3 and the largest ratio 4; one in ten of
# those passes as a copy.
_MAX_CONCENTRATION = 2.5
_NOISE = 4.0  # differences and contrasts below this many gray levels are noise

# Rows are cosines, scaled so that the coefficient of a wave is half its amplitude in each axis.
_PHASES_FS = (np.arange(GRAY_PX) + 0.5) * np.arange(FREQUENCIES)[:, None] * np.pi / GRAY_PX
_DCT_FS = (np.cos(_PHASES_FS) / GRAY_PX * np.sqrt(2)).astype(np.float32)
_MIRROR_F = np.where(np.arange(FREQUENCIES) % 2, -1, 1).astype(np.float32)  # mirroring negates every other cosine


@dataclass(frozen=True)
class CopyRule:
    """When two images count as copies.

    Attributes:
        max_difference: maximum RMS difference of the thumbnails over their contrast, above 0 and at most 1.
        mirrored: whether a mirrored copy is one.

    Raises:
        UserError: `max_difference` is out of range.
    """

    max_difference: float = MAX_DIFFERENCE
    mirrored: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.max_difference <= 1:
            raise UserError(f"--max_difference={self.max_difference:g} must be above 0 and at most 1, such as 0.3")


def copy_groups(
    digests_N32: NDArray[np.uint8], fingerprints_N: np.ndarray | None, rule: CopyRule
) -> tuple[Indices, set[int]]:
    """Groups files that show the same image.

    Copies of copies belong to one group, but a mirrored pair joins at most two groups: two images that both resemble
    the mirrored version of a third need not resemble each other.

    Args:
        digests_N32: SHA-256 of each file, uint8 [N,32]; identical files have equal ones.
        fingerprints_N: FINGERPRINT [N] of the files, by which other copies are found; None finds identical files only.
        rule: when two images count as copies.

    Returns:
        Index of the group of each file [N], and the groups that contain a mirrored copy.
    """
    _, first_M, inverse_N = np.unique(digests_N32, axis=0, return_index=True, return_inverse=True)
    inverse_N = inverse_N.reshape(-1)  # one release of numpy returns a column
    if fingerprints_N is None:
        return inverse_N, set()
    prints_M, group_M = fingerprints_N[first_M], np.arange(len(first_M))
    for i_P, j_P in _same_pairs(prints_M, group_M, rule, flip=False):
        join_groups(group_M, i_P, j_P)
    if not rule.mirrored:
        return group_M[inverse_N], set()
    partner_of: dict[int, int] = {}
    for i_P, j_P in _same_pairs(prints_M, group_M, rule, flip=True):
        for pair in zip(group_M[i_P].tolist(), group_M[j_P].tolist(), strict=True):
            if not partner_of.keys() & set(pair):
                partner_of |= {pair[0]: pair[1], pair[1]: pair[0]}
    joined_M = np.arange(len(group_M))
    for group, partner in partner_of.items():
        joined_M[max(group, partner)] = min(group, partner)
    return joined_M[group_M][inverse_N], {min(pair) for pair in partner_of.items()}


def _same_pairs(
    prints_M: np.ndarray, group_M: Indices, rule: CopyRule, *, flip: bool
) -> Iterator[tuple[Indices, Indices]]:
    """Yields pairs of copies from different groups, while `group_M` changes; with `flip` the second is mirrored."""
    thumbs_MTTC, right_M = prints_M["thumb_TTC"], prints_M["mirrored" if flip else "hash"]
    description = "comparing mirrored" if flip else "comparing images"
    for i_P, j_P in near_pairs(prints_M["hash"], right_M, max_distance=MAX_DISTANCE, description=description):
        if not (apart_P := group_M[i_P] != group_M[j_P]).any():
            continue
        i_P, j_P = i_P[apart_P], j_P[apart_P]
        right_PTTC = thumbs_MTTC[j_P][:, :, ::-1] if flip else thumbs_MTTC[j_P]
        same_P = is_same_image(thumbs_MTTC[i_P], right_PTTC, rule.max_difference)
        yield i_P[same_P], j_P[same_P]


def join_groups(group_M: Indices, i_P: Indices, j_P: Indices) -> None:
    """Merges the two groups of each pair, in place; a group is named after its first member."""
    while (apart_P := group_M[i_P] != group_M[j_P]).any():
        groups_2P = np.stack([group_M[i_P[apart_P]], group_M[j_P[apart_P]]])
        # A group that is the higher one in several pairs is merged into one lower group; later rounds merge the rest.
        group_M[groups_2P.max(axis=0)] = groups_2P.min(axis=0)
        # A merged group may have been merged further, so its members follow these links to the end.
        while not np.array_equal(group_M, linked_M := group_M[group_M]):
            group_M[:] = linked_M


def near_pairs(
    left_M: NDArray[np.uint64], right_M: NDArray[np.uint64], *, max_distance: int, description: str | None = None
) -> Iterator[tuple[Indices, Indices]]:
    """Yields index arrays (i_P, j_P), i < j, of pairs with near hashes.

    Args:
        left_M: hashes, uint64.
        right_M: hashes of the same images, or of their mirrored versions to find mirrored copies.
        max_distance: number of bits in which left[i] and right[j] may differ.
        description: text before a progress bar; None for no bar.
    """
    tops = range(0, len(left_M), TILE_ROWS)
    for top in tqdm(
        tops, desc=description, unit="images", unit_scale=TILE_ROWS, disable=True if not description else None
    ):
        for start in range(top, len(right_M), TILE_COLUMNS):
            columns_C = right_M[start : start + TILE_COLUMNS]
            near_RC = np.bitwise_count(left_M[top : top + TILE_ROWS, None] ^ columns_C) <= max_distance
            # Ten times as fast as np.nonzero on the two-dimensional array.
            i_P, j_P = np.divmod(np.flatnonzero(near_RC), len(columns_C))
            i_P, j_P = i_P + top, j_P + start
            after = i_P < j_P
            if after.any():
                yield i_P[after], j_P[after]


def fingerprint(image_HWC: NDArray[np.uint8]) -> tuple[int, int, NDArray[np.uint8]]:
    """Returns the fields of a FINGERPRINT of an RGB image [H,W,3] of any size."""
    small = Image.fromarray(image_HWC).resize((GRAY_PX, GRAY_PX), Image.Resampling.BILINEAR)
    gray_SS = np.asarray(small.convert("L"), dtype=np.float32)
    waves_FF = _DCT_FS @ gray_SS @ _DCT_FS.T
    return _bits(waves_FF), _bits(waves_FF * _MIRROR_F), np.asarray(small.reduce(GRAY_PX // THUMB_PX))


def _bits(waves_FF: NDArray[np.floating]) -> int:
    signs = waves_FF > _DEAD_ZONE
    signs[0, 0] = False  # the mean brightness is excluded
    return int.from_bytes(np.packbits(signs).tobytes())


def is_same_image(
    first_PTTC: NDArray[np.uint8], second_PTTC: NDArray[np.uint8], max_difference: float = MAX_DIFFERENCE
) -> NDArray[np.bool_]:
    """Returns for each pair of thumbnails [P,T,T,C] with near hashes whether they show the same image."""
    squares_PTT, contrast_P = _squares_and_contrast(first_PTTC, second_PTTC)
    difference_P = np.sqrt(squares_PTT.mean(axis=(1, 2)))
    quarter = THUMB_PX // 4
    cells_P44 = squares_PTT.reshape(-1, 4, quarter, 4, quarter).mean(axis=(2, 4))
    worst_P = np.sqrt(cells_P44.max(axis=(1, 2)))
    spread_out_P = worst_P <= np.maximum(_MAX_CONCENTRATION * difference_P, 2 * _NOISE)
    return (difference_P <= max_difference * contrast_P) & spread_out_P


def relative_difference(first_PTTC: NDArray[np.uint8], second_PTTC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns the RMS difference of each pair of thumbnails [P,T,T,C] over their contrast; 0 for equal ones."""
    squares_PTT, contrast_P = _squares_and_contrast(first_PTTC, second_PTTC)
    return np.sqrt(squares_PTT.mean(axis=(1, 2))) / contrast_P


def _squares_and_contrast(
    first_PTTC: NDArray[np.uint8], second_PTTC: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    first, second = first_PTTC.astype(np.float32), second_PTTC.astype(np.float32)
    return np.square(first - second).mean(axis=3), np.maximum(_contrast(first), _contrast(second)).clip(min=_NOISE)


def _contrast(thumbs_PTTC: NDArray[np.float32]) -> NDArray[np.float32]:
    mean_color = thumbs_PTTC.mean(axis=(1, 2), keepdims=True)
    return np.sqrt(np.square(thumbs_PTTC - mean_color).mean(axis=(1, 2, 3)))
