"""An experiment to plant values in, for the tests of findings."""

from collections.abc import Callable, Mapping
from typing import Any

import config_parts
import fiddle as fdl
from long_tail import LONG_TAIL, splits

import experiments  # noqa: F401  # its import registers them
from jersey import config as configs
from jersey.config.findings import findings
from jersey.data.index import Split

Change = Callable[[Any], None]
SPLITS = splits(LONG_TAIL)


def baseline(*overrides: str, change: Change | None = None, root: str = "/nowhere") -> Any:
    """The ResNet-18 experiment with a network that takes no time."""
    config = configs.get_experiment("resnet18_baseline")()
    config.data.root = root
    for override in overrides:
        configs.apply_override(config, override)
    config.module.network = fdl.Partial(config_parts.tiny_network)
    if change:
        change(config)
    return config


def part(path: str, value: Any) -> Change:
    """Puts a sub-config at a path."""

    def change(config: Any) -> None:
        *parents, name = path.split(".")
        for parent in parents:
            config = getattr(config, parent)
        setattr(config, name, value)

    return change


def sentences(kind: str, config: Any, data: Mapping[str, Split] | None = SPLITS) -> list[str]:
    return [finding.sentence for finding in findings(config, data) if finding.kind == kind]
