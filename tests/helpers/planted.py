"""An experiment to plant values in, for the tests of findings."""

from collections.abc import Callable, Mapping
from typing import Any

import fiddle as fdl
from helpers import config_parts
from helpers.long_tail import LONG_TAIL, splits

from jersey.data.split import Split
from jersey.lint.no_effect import findings

Change = Callable[[Any], None]
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
