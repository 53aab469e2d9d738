"""Values that were changed without effect, found by measuring: set alone on the old config, undone alone on the new."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import fiddle as fdl
from lightning.pytorch.callbacks import WeightAveraging

from jersey.config.paths import parameters
from jersey.config.typehints import UNKNOWN
from jersey.lint.simulate import Effects, effects, members


def changed_without_effect(old: fdl.Buildable, new: fdl.Buildable, before: Effects, after: Effects) -> Iterator[str]:
    """The paths of changed values that change nothing, among those whose whole influence `Effects` holds."""
    was, now = (
        {each.path: each.value for each in parameters(config) if each.kind in ("leaf", "unset")}
        for config in (old, new)
    )
    for path in [path for path in was if path in now and was[path] != now[path]]:
        if UNKNOWN in (was[path], now[path]) or not (_covers(old, before, path) and _covers(new, after, path)):
            continue
        if (
            effects(_with(old, path, now[path]), before.splits) == before
            and effects(_with(new, path, was[path]), after.splits) == after
        ):
            yield path


def _covers(config: fdl.Buildable, computed: Effects, path: str) -> bool:
    """Whether the value at `path` acts through nothing but what was computed.

    Augmentation is left out: 64 crops cannot show that a rare change has become a little more frequent.
    """
    parent, _, name = path.rpartition(".")
    groups = (computed.groups or {}).values()
    if path in ("data.sampler_power", "data.labels", "module.weight_power"):
        return computed.classes is not None
    if parent == "module.optimizer":
        is_in_groups = all(name in group.settings or name in group.curves for group in groups)
        return bool(groups) and (is_in_groups or name == "backbone_lr_scale")
    if parent in members(config, "trainer.callbacks", WeightAveraging):
        return name in ("decay", "half_life_epochs") and computed.ema_decay is not None
    return bool(groups) and path.startswith("module.schedule.")


def _with(config: fdl.Buildable, path: str, value: Any) -> fdl.Buildable:
    changed = copy.deepcopy(config)
    next(each for each in parameters(changed) if each.path == path).put(value)
    return changed
