"""How many crops each number gets: equal shares, or a geometric long tail."""

import heapq
from collections.abc import Sequence


def apportion(total: int, *, numbers: Sequence[str], imbalance: float = 1.0) -> dict[str, int]:
    """Divides crops over numbers; the counts add up to `total`, never rise along the list, and none is 0.

    The targets fall geometrically from the first number to the last. Whole counts follow by the method of
    Huntington and Hill (as for seats in the US House), which gives everyone one first.

    Args:
        total: crops, at least one for each number.
        numbers: from frequent to rare.
        imbalance: ratio of the first target to the last, at least 1.
    """
    assert total >= len(numbers), "too few crops for the numbers"
    steps = max(1, len(numbers) - 1)
    shares = [imbalance ** (-rank / steps) for rank in range(len(numbers))]
    counts = [1] * len(numbers)
    queue = [(-share / 2**0.5, rank) for rank, share in enumerate(shares)]
    heapq.heapify(queue)
    for _ in range(total - len(numbers)):
        rank = queue[0][1]
        counts[rank] += 1
        heapq.heapreplace(queue, (-shares[rank] / (counts[rank] * (counts[rank] + 1)) ** 0.5, rank))
    return dict(zip(numbers, counts, strict=True))
