"""An experiment to plant values in, and an index of crops that lie nowhere, as long-tailed as a season."""

from collections.abc import Callable, Mapping
from typing import Any

import fiddle as fdl
from helpers import config_parts

from jersey.data.split import Paths, Split
from jersey.lint.no_effect import findings

Change = Callable[[Any], None]


def splits(train: Mapping[str, int], *, evaluation: int = 5) -> dict[str, Split]:
    """So many train crops of each number, and `evaluation` of each in the other splits."""
    even = dict.fromkeys(train, evaluation)
    return {name: _split(name, counts) for name, counts in (("train", train), ("val", even), ("test", even))}


def _split(name: str, counts: Mapping[str, int]) -> Split:
    rows = [(f"/nowhere/{name}/{label}/{index}.jpg", label) for label in counts for index in range(counts[label])]
    return Split(name, Paths(path for path, _ in rows), tuple(label for _, label in rows), ("",) * len(rows))


LONG_TAIL = {"0": 120, "00": 4, **{str(number): max(4, 116 - 3 * number) for number in range(2, 43)}}
"""43 numbers, 2,214 crops: 34 batches of 64, and 1,020 steps in 30 epochs."""
EQUAL = dict.fromkeys(("0", "00", "01", "23"), 500)
SPLITS = splits(LONG_TAIL)


def baseline(*overrides: str, change: Change | None = None, root: str = "/nowhere") -> Any:
    """The ResNet-18 experiment with a network that takes no time."""
    config = config_parts.baseline(*overrides)
    config.data.root = root
    config.module.network = fdl.Partial(config_parts.tiny_network)
    if change:
        change(config)
    return config


def sentences(kind: str, config: Any, data: Mapping[str, Split] | None = SPLITS) -> list[str]:
    return [finding.sentence for finding in findings(config, data) if finding.kind == kind]
