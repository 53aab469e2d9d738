"""The difference of two configs in what they do, beside `config.show`'s difference, which compares what they say.

Only what differs is shown, old and new side by side; what is the same is named in one line.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import fiddle as fdl
from lightning.pytorch.callbacks import WeightAveraging

from jersey.config.paths import parameters
from jersey.config.values import UNKNOWN
from jersey.core.tables import aligned, markdown_table
from jersey.data.sampler import Balance, emphasis
from jersey.lint.no_effect import findings_of
from jersey.lint.simulate import SCHEDULED, Effects, Group, effects, members

Style = Literal["text", "markdown"]
Rows = list[tuple[str, ...]]

POINTS_PERCENT = (0, 5, 10, 25, 50, 75, 90, 100)  # of the run


@dataclass(frozen=True)
class Section:
    """A part of the comparison: nothing in it when both configs do the same; the first row is the table's head."""

    title: str
    rows: Rows
    lines: Sequence[str] = ()


def effective_difference(
    old: fdl.Buildable, new: fdl.Buildable, *, names: tuple[str, str] = ("old", "new"), style: Style = "text"
) -> str:
    """What `new` does otherwise than `old`, which changed values do nothing, and the findings about `new`."""
    before, after = effects(old), effects(new)
    notes = [f"{name}: {note}" for name, each in zip(names, (before, after), strict=True) for note in each.notes]
    compared = (_steps, _groups, _curves, _average, _labels, _classes, _augmentation)
    sections = [section for compare in compared if (section := compare(before, after, names)) is not None]
    inert = [f"{path} was changed without effect" for path in changed_without_effect(old, new, before, after)]
    found = [str(finding) for finding in findings_of(new, after)]
    blocks = [
        Section("assumed, or not computed", [], notes),
        *sections,
        Section(f"findings about {names[1]}", [], inert + found),
    ]
    shown = [_render(block, style) for block in blocks if block.rows or block.lines]
    same = ", ".join(section.title for section in sections if not section.rows and not section.lines)
    return "\n".join([*shown, f"no effective difference in {same}\n"] if same else shown)


def _steps(old: Effects, new: Effects, names: tuple[str, str]) -> Section | None:
    if old.steps is None or new.steps is None:
        return None
    pairs = {
        "train crops": (old.train_crops, new.train_crops),
        "batches an epoch": (old.batches, new.batches),
        "optimizer steps an epoch": (old.epoch_steps, new.epoch_steps),
        "optimizer steps of the run": (old.steps, new.steps),
    }
    rows = [(what, *map(_number, pair)) for what, pair in pairs.items() if pair[0] != pair[1]]
    return Section("steps", _headed(("", *names), rows))


def _groups(old: Effects, new: Effects, names: tuple[str, str]) -> Section | None:
    if old.groups is None or new.groups is None:
        return None
    rows: Rows = []
    for name in dict.fromkeys((*old.groups, *new.groups)):
        before, after = (_facts(each.groups.get(name)) for each in (old, new) if each.groups is not None)
        rows += [
            (name, what, before.get(what, "-"), after.get(what, "-"))
            for what in dict.fromkeys((*before, *after))
            if before.get(what) != after.get(what)
        ]
    return Section("parameter groups", _headed(("group", "", *names), rows))


def _facts(group: Group | None) -> dict[str, str]:
    if group is None:
        return {}
    counted = {"tensors": group.tensors, "parameters": group.parameters}
    return {what: _number(value) for what, value in (counted | group.settings).items()}


def _curves(old: Effects, new: Effects, names: tuple[str, str]) -> Section | None:
    if old.groups is None or new.groups is None:
        return None
    every = list(dict.fromkeys((*old.groups, *new.groups)))
    followers: dict[tuple[Any, ...], list[str]] = {}  # groups with the same curves share two rows
    for name in every:
        for what in SCHEDULED:
            curves = [_curve(groups.get(name), what) for groups in (old.groups, new.groups)]
            if curves[0] != curves[1] and max(map(len, curves)) > 1:
                followers.setdefault((what, *curves), []).append(name)
    rows, lines = [], []
    for (what, *curves), groups in followers.items():
        title = f"{what} of {'every group' if groups == every else ', '.join(groups)}"
        rows += [(title, name, *_points(curve)) for name, curve in zip(names, curves, strict=True)]
        if what == "lr" and all(curves):
            peaks = [f"{name} {_peak(curve)}" for name, curve in zip(names, curves, strict=True)]
            lines.append(f"{title}: {', '.join(peaks)}{_most_apart(*curves)}")
    return Section("learning rate", _headed(("at a share of the run", "", *_percents()), rows), lines)


def _curve(group: Group | None, what: str) -> tuple[Any, ...]:
    """Step by step; of length 1 for what stays as it is, empty for what is not there."""
    if group is None:
        return ()
    return group.curves.get(what, (group.settings[what],) if what in group.settings else ())


def _points(curve: tuple[Any, ...]) -> list[str]:
    if not curve:
        return ["-"] * len(POINTS_PERCENT)
    return [_number(curve[round(percent / 100 * (len(curve) - 1))]) for percent in POINTS_PERCENT]


def _percents() -> list[str]:
    return [f"{percent} %" for percent in POINTS_PERCENT]


def _peak(curve: tuple[float, ...]) -> str:
    step = curve.index(max(curve))
    return f"peak {_number(max(curve))} at step {step + 1:,} of {len(curve):,} ({(step + 1) / len(curve):.0%})"


def _most_apart(old: tuple[float, ...], new: tuple[float, ...]) -> str:
    """The points of the table may all lie where two curves agree."""
    if len(old) != len(new):
        return ""
    step = max(range(len(old)), key=lambda each: abs(old[each] - new[each]))
    return f", most apart at step {step + 1:,} ({_number(old[step])}, {_number(new[step])})"


def _average(old: Effects, new: Effects, names: tuple[str, str]) -> Section | None:
    if old.ema_decay is None and new.ema_decay is None:
        return None
    if old.ema_decay == new.ema_decay:
        return Section("average of the weights", [])
    rows, lines = [], []
    for name, each in zip(names, (old, new), strict=True):
        rows.append((name, *_points(each.ema_decay or ())))
        lines += [f"{name}: {_half_life(each)}"] if each.ema_decay else []
    return Section("average of the weights", _headed(("decay at a share of the run", *_percents()), rows), lines)


def _half_life(each: Effects) -> str:
    assert each.ema_decay is not None
    assert each.epoch_steps is not None
    last = each.ema_decay[-1]
    if not 0 < last < 1:
        return "no half-life"
    steps = math.log(0.5) / math.log(last)
    return f"half-life at the end {steps:.1f} steps, {steps / each.epoch_steps:.2f} epochs"


def _labels(old: Effects, new: Effects, names: tuple[str, str]) -> Section | None:
    if old.labels is None or new.labels is None:
        return None
    added = [name for name in new.labels if name not in old.labels]
    removed = [name for name in old.labels if name not in new.labels]
    moved = [
        f"{name} {old.labels.index(name)} -> {index}"
        for index, name in enumerate(new.labels)
        if name in old.labels and old.labels.index(name) != index
    ]
    kinds = {"added": added, "removed": removed, "at another index": moved}
    return Section(
        "label map", [], [f"{kind} ({len(each)}): {', '.join(each)}" for kind, each in kinds.items() if each]
    )


def _classes(old: Effects, new: Effects, names: tuple[str, str]) -> Section | None:
    if old.classes is None or new.classes is None:
        return None
    if old.classes == new.classes:
        return Section("class balance", [])
    head = ("number", "train crops", "drawn", "loss weight", "share of the loss")
    rows = []
    for number in dict.fromkeys((*old.classes, *new.classes)):
        cells = zip(*(_balance(each.get(number)) for each in (old.classes, new.classes)), strict=True)
        rows.append((number, *(before if before == after else f"{before} -> {after}" for before, after in cells)))
    lines = [f"{name}: {emphasis(each)}" for name, each in zip(names, (old.classes, new.classes), strict=True)]
    return Section("class balance", _headed(head, rows), lines)


def _balance(each: Balance | None) -> tuple[str, ...]:
    return ("-",) * 4 if each is None else each.cells


def _augmentation(old: Effects, new: Effects, names: tuple[str, str]) -> Section | None:
    if old.augmentation is None or new.augmentation is None:
        return None
    rows = []
    for name in dict.fromkeys((*old.augmentation, *new.augmentation)):
        before, after = old.augmentation.get(name), new.augmentation.get(name)
        for what, field in _STRENGTHS.items():
            pair = [getattr(each, field, None) for each in (before, after)]
            if pair[0] != pair[1]:
                rows.append((name, what, *(f"{value:.2f}" if value is not None else "-" for value in pair)))
    return Section("augmentation, measured on 64 crops", _headed(("operation", "", *names), rows))


_STRENGTHS = {
    "mean change of a pixel, 0..255": "change",
    "points move on average, % of a side": "moved_mean_percent",
    "95 % of points move less than, % of a side": "moved_p95_percent",
}


def _headed(head: tuple[str, ...], rows: Rows) -> Rows:
    return [head, *rows] if rows else []


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _render(section: Section, style: Style) -> str:
    if style == "markdown":
        table = [*markdown_table(section.rows), ""] if section.rows else []
        return "\n".join([f"**{section.title}**", "", *table, *(f"- {line}" for line in section.lines)]).rstrip() + "\n"
    return "".join(
        f"{line}\n" for line in (section.title, *(f"  {line}" for line in (*aligned(section.rows), *section.lines)))
    )


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
