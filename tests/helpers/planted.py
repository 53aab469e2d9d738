"""An experiment to plant values in, for the tests of findings."""

from collections.abc import Callable, Mapping
from typing import Any

import fiddle as fdl
from helpers import config_parts
from helpers.long_tail import LONG_TAIL, splits

from jersey.config import apply_override
from jersey.data.split import Split
from jersey.lint.no_effect import findings

Change = Callable[[Any], None]
SPLITS = splits(LONG_TAIL)


def baseline(*changes: str | Change, root: str = "/nowhere") -> Any:
    """The ResNet-18 experiment with a network that takes no time, changed by overrides and functions."""
    config = config_parts.baseline()
    config.data.root = root
    config.module.network = fdl.Partial(config_parts.tiny_network)
    for change in changes:
        apply_override(config, change) if isinstance(change, str) else change(config)
    return config


def sentences(kind: str, config: Any, data: Mapping[str, Split] | None = SPLITS) -> list[str]:
    return [each.removeprefix(f"{kind}: ") for each in findings(config, data) if each.startswith(f"{kind}: ")]
