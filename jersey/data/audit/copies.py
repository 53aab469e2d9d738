"""Which image files show one picture: byte for byte, nearly, or mirrored.

Copies of copies are one group, so that a video still saved 500 times is one finding and not 500 x 499 / 2.

All pairs of hashes are compared, in tiles that stay in the processor's cache: no index beats this at a distance of 12
of 64 bits, where an index that misses nothing must open most of its buckets. 100,000 images are 5 billion pairs, under
a minute.

Shapes: N distinct files, M of one tile's columns, R of its rows, P pairs, T = 16 pixels, C colours.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from jersey.data.audit.hashes import MAX_DISTANCE, THUMB_PX, Fingerprint, same_picture

ROWS = 32
COLUMNS = 8192
_PAIRS_AT_A_TIME = 4096

Indices = NDArray[np.intp]


class Looks:
    """The fingerprints of distinct files, in arrays that hold 784 bytes of each.

    Args:
        capacity: the most files there can be.
    """

    def __init__(self, capacity: int) -> None:
        self._index_of: dict[bytes, int] = {}
        self._hashes_N = np.empty(capacity, np.uint64)
        self._mirrored_N = np.empty(capacity, np.uint64)
        self._thumbs_NTTC = np.empty((capacity, THUMB_PX, THUMB_PX, 3), np.uint8)

    def add(self, digest: bytes, look: Fingerprint) -> None:
        """Keeps the fingerprint of a file, once for all files with the same bytes."""
        index = self._index_of.setdefault(digest, len(self._index_of))
        self._hashes_N[index] = look.hash
        self._mirrored_N[index] = look.mirrored
        self._thumbs_NTTC[index] = look.thumb_TTC

    def groups(self) -> tuple[dict[bytes, int], set[int]]:
        """The group of each file, and the groups that only a mirrored copy holds together."""
        count = len(self._index_of)
        hashes_N, thumbs_NTTC = self._hashes_N[:count], self._thumbs_NTTC[:count]
        sets, mirrored = DisjointSets(count), [np.empty(0, np.intp)]
        for flip, right_N in ((False, hashes_N), (True, self._mirrored_N[:count])):
            description = "comparing mirrored" if flip else "comparing images"
            for found in near_pairs(hashes_N, right_N, max_distance=MAX_DISTANCE, description=description):
                for i_P, j_P in sets.still_apart(*found):
                    right_PTTC = thumbs_NTTC[j_P][:, :, ::-1] if flip else thumbs_NTTC[j_P]
                    same_P = same_picture(thumbs_NTTC[i_P], right_PTTC)
                    sets.join(i_P[same_P], j_P[same_P])
                    mirrored += [i_P[same_P]] if flip else []
        group_of = dict(zip(self._index_of, sets.roots(np.arange(count)).tolist(), strict=True))
        return group_of, set(sets.roots(np.concatenate(mirrored)).tolist())


class DisjointSets:
    """The numbers below `count` in sets that grow together, for whole arrays of pairs at a time."""

    def __init__(self, count: int) -> None:
        self._parent_N = np.arange(count)

    def roots(self, items_P: Indices) -> Indices:
        """The member after which each item's set is named."""
        roots_P = self._parent_N[items_P]
        while not np.array_equal(above_P := self._parent_N[roots_P], roots_P):
            roots_P = above_P
        self._parent_N[items_P] = roots_P
        return roots_P

    def still_apart(self, i_P: Indices, j_P: Indices) -> Iterator[tuple[Indices, Indices]]:
        """Yields some of the pairs at a time, without those that have been joined by then."""
        for start in range(0, len(i_P), _PAIRS_AT_A_TIME):
            some = slice(start, start + _PAIRS_AT_A_TIME)
            apart_P = self.roots(i_P[some]) != self.roots(j_P[some])
            if apart_P.any():
                yield i_P[some][apart_P], j_P[some][apart_P]

    def join(self, i_P: Indices, j_P: Indices) -> None:
        """Makes one set of the two sets of each pair."""
        while True:
            roots_2P = np.stack([self.roots(i_P), self.roots(j_P)])
            low_P, high_P = roots_2P.min(axis=0), roots_2P.max(axis=0)
            apart_P = low_P < high_P
            if not apart_P.any():
                return
            # A set that is `high` in several pairs goes below one of the others; the next turn sees to the rest.
            self._parent_N[high_P[apart_P]] = low_P[apart_P]


def near_pairs(
    left_N: NDArray[np.uint64], right_N: NDArray[np.uint64], *, max_distance: int, description: str | None = None
) -> Iterator[tuple[Indices, Indices]]:
    """Yields index arrays (i_P, j_P), i < j, of pairs where left[i] and right[j] differ in at most `max_distance` bits.

    Args:
        left_N: uint64.
        right_N: uint64, as many; for mirrored copies the hashes of the mirrored images.
        max_distance: in bits.
        description: the text before a progress bar; None for no bar.
    """
    bits_RM = np.empty((ROWS, COLUMNS), np.uint64)
    counts_RM = np.empty((ROWS, COLUMNS), np.uint8)
    quiet = True if description is None else None
    with tqdm(total=len(left_N), desc=description, unit="image", disable=quiet) as bar:
        for top in range(0, len(left_N), ROWS):
            rows_R1 = left_N[top : top + ROWS, None]
            for start in range(top, len(right_N), COLUMNS):
                columns_M = right_N[start : start + COLUMNS]
                tile = np.s_[: len(rows_R1), : len(columns_M)]
                np.bitwise_xor(rows_R1, columns_M, out=bits_RM[tile])
                near_RM = np.bitwise_count(bits_RM[tile], out=counts_RM[tile]) <= max_distance
                # Ten times as fast as np.nonzero of the two-dimensional array.
                i_P, j_P = np.divmod(np.flatnonzero(near_RM), len(columns_M))
                i_P, j_P = i_P + top, j_P + start
                after = i_P < j_P
                if after.any():
                    yield i_P[after], j_P[after]
            bar.update(len(rows_R1))
