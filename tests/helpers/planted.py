"""An experiment to plant values in, and an index of crops that lie nowhere, as long-tailed as a season."""

from collections.abc import Mapping
from typing import Any

import fiddle as fdl
from helpers import config_parts
from helpers.config_parts import Change, part
from helpers.long_tail import LONG_TAIL, splits

from jersey.data.split import Paths, Split
from jersey.lint.no_effect import findings
from jersey.lint.simulate import effects

SPLITS = splits(LONG_TAIL)


def baseline(*changes: str | Change, root: str = "/nowhere") -> Any:
    """The ResNet-18 experiment with a network that takes no time, changed by overrides and functions."""
    network = part("module.network", fdl.Partial(config_parts.tiny_network))
    return config_parts.baseline(part("data.root", root), network, *changes)


def sentences(kind: str, config: Any, data: Mapping[str, Split] | None = SPLITS) -> list[str]:
    return [each.removeprefix(f"{kind}: ") for each in findings(effects(config, data)) if each.startswith(f"{kind}: ")]
