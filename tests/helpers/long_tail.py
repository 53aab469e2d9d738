"""An index of crops that lie nowhere, as long-tailed as a season, for tests of what follows from counts alone."""

from collections.abc import Mapping

from jersey.data.split import Paths, Split


def splits(train: Mapping[str, int], *, evaluation: int = 5) -> dict[str, Split]:
    """So many train crops of each number, and `evaluation` of each in the other splits."""
    even = dict.fromkeys(train, evaluation)
    return {name: _split(name, counts) for name, counts in (("train", train), ("val", even), ("test", even))}


def _split(name: str, counts: Mapping[str, int]) -> Split:
    rows = [(f"/nowhere/{name}/{label}/{index}.jpg", label) for label in counts for index in range(counts[label])]
    return Split(name, Paths(tuple(path for path, _ in rows)), tuple(label for _, label in rows), ("",) * len(rows))


LONG_TAIL = {"0": 120, "00": 4, **{str(number): max(4, 116 - 3 * number) for number in range(2, 43)}}
"""43 numbers, 2,214 crops: 34 batches of 64, and 1,020 steps in 30 epochs."""
EQUAL = dict.fromkeys(("0", "00", "01", "23"), 500)
