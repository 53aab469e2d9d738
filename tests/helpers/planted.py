"""A baseline config, in which tests plant values, and a long-tailed index of crops that do not exist."""

from collections.abc import Mapping
from typing import Any

import fiddle as fdl
from helpers import config_parts
from helpers.config_parts import Change, part

from jersey.data.split import Paths, Split
from jersey.lint.no_effect import findings
from jersey.lint.simulate import effects


def splits(train: Mapping[str, int], *, evaluation: int = 5) -> dict[str, Split]:
    """Returns splits with these train crops per number, and `evaluation` crops per number in val and test."""
    even = dict.fromkeys(train, evaluation)
    return {name: _split(name, counts) for name, counts in (("train", train), ("val", even), ("test", even))}


def _split(name: str, counts: Mapping[str, int]) -> Split:
    rows = [(f"/nowhere/{name}/{label}/{index}.jpg", label) for label in counts for index in range(counts[label])]
    return Split(name, Paths(tuple(path for path, _ in rows)), tuple(label for _, label in rows), ("",) * len(rows))


LONG_TAIL = {"0": 120, "00": 4, **{str(number): max(4, 116 - 3 * number) for number in range(2, 43)}}
"""43 numbers, 2,214 crops: 34 batches of 64, and 1,020 steps in 30 epochs."""
EQUAL = dict.fromkeys(("0", "00", "01", "23"), 500)
SPLITS = splits(LONG_TAIL)


def baseline(*changes: str | Change, root: str = "/nowhere") -> Any:
    """Returns the ResNet-18 experiment with a tiny network, changed by overrides and functions."""
    network = part("module.network", fdl.Partial(config_parts.tiny_network))
    return config_parts.baseline(part("data.root", root), network, *changes)


def sentences(kind: str, config: Any, data: Mapping[str, Split] | None = SPLITS) -> list[str]:
    """Returns the findings of one kind, "no effect" or "interaction", without that prefix."""
    return [each.removeprefix(f"{kind}: ") for each in findings(effects(config, data)) if each.startswith(f"{kind}: ")]
