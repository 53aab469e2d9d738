"""All pairs of hashes that differ in few bits, exactly, in bounded memory.

Every pair is compared, in tiles that stay in the processor's cache: no index beats this at a distance of 12 of 64 bits,
where an index that misses nothing must open most of its buckets. 100,000 images are 5 billion pairs, under a minute.

Shapes: N hashes, M of one tile's columns, R of its rows, P pairs found.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

ROWS = 32
COLUMNS = 8192

Indices = NDArray[np.intp]


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
