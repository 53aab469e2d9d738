"""Compares the effects of two configs, whereas `jersey.config.show` compares their values.

The text has a section for each part that differs, with old and new side by side. One line lists the equal parts.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import fiddle as fdl
from lightning.pytorch.callbacks import WeightAveraging

from jersey.config.paths import parameters
from jersey.config.values import UNKNOWN
from jersey.core.tables import format_table, markdown_table
from jersey.data.sampler import BALANCE_COLUMNS, imbalance_summary
from jersey.lint.no_effect import findings
from jersey.lint.simulate import Effects, effects, members

Style = Literal["text", "markdown"]
Rows = list[tuple[str, ...]]
Names = tuple[str, str]
"""What the old and the new config are called."""
Quantities = Mapping[tuple[str, ...], Any]
"""Values by the first cells of their row, which are their name, or the name of an object and theirs."""
Compared = tuple[tuple[str, ...], Rows, list[str]]
"""The head of a table, its rows, and the lines below it; without rows and lines if the effects are equal."""

POINTS_PERCENT = (0, 5, 10, 25, 50, 75, 90, 100)  # of the run; denser at its start, where a warm-up may be
PERCENTS = tuple(f"{percent} %" for percent in POINTS_PERCENT)
NO_POINTS = ("-",) * len(POINTS_PERCENT)
NO_CELLS = ("-",) * len(BALANCE_COLUMNS)
# Fields of a `Magnitude` by the text of their row.
MAGNITUDES = {
    "mean change of a pixel, 0..255": "change",
    "mean shift of a point, % of a side": "moved_mean_percent",
    "95th percentile of the shift, % of a side": "moved_p95_percent",
}


def effective_diff(
    old: fdl.Buildable, new: fdl.Buildable, *, names: Names = ("old", "new"), style: Style = "text"
) -> str:
    """Returns the differences in effect, the changed values without effect, and the findings about `new`.

    Args:
        old: config to compare with.
        new: config that is compared.
        names: what the two are called.
        style: "text" for aligned columns, "markdown" for tables on GitHub.
    """
    before, after = effects(old), effects(new)
    notes = [f"{name}: {note}" for name, each in zip(names, (before, after), strict=True) for note in each.notes]
    sections, equal = [_section("assumed, or not computed", [], notes, style)], list[str]()
    for title, required, field, compare in PARTS:
        if required(getattr(each, field) is not None for each in (before, after)):
            head, rows, lines = compare(before, after, names)
            sections.append(_section(title, [head, *rows] if rows else [], lines, style))
            if not rows and not lines:
                equal.append(title)
    unused = [f"{path} was changed without effect" for path in changed_without_effect(before, after)]
    sections.append(_section(f"findings about {names[1]}", [], unused + findings(after), style))
    if equal:
        sections.append(f"no effective difference in {', '.join(equal)}\n")
    return "\n".join(filter(None, sections))


def _compare_quantities(
    head: tuple[str, ...], quantities: Callable[[Effects], Quantities], show: Callable[[Any], str]
) -> Callable[..., Compared]:
    """Returns a comparison with one row for each quantity that differs; rows of one object are next to each other."""

    def compare(old: Effects, new: Effects, names: Names) -> Compared:
        before, after = quantities(old), quantities(new)
        keys = [key for key in dict.fromkeys((*before, *after)) if before.get(key, "-") != after.get(key, "-")]
        objects = list(dict.fromkeys(key[0] for key in keys))
        keys.sort(key=lambda key: objects.index(key[0]))
        rows = [(*key, *(show(each[key]) if key in each else "-" for each in (before, after))) for key in keys]
        return (*head, *names), rows, []

    return compare


def _steps(each: Effects) -> Quantities:
    return {
        ("train crops",): each.train_crops,
        ("batches per epoch",): each.batches,
        ("optimizer steps per epoch",): each.epoch_steps,
        ("optimizer steps in total",): each.steps,
    }


def _groups(each: Effects) -> Quantities:
    quantities: dict[tuple[str, ...], Any] = {}
    for name, group in (each.groups or {}).items():
        quantities |= {(name, "tensors"): group.tensors, (name, "parameters"): group.parameters}
        constant = {what: values for what, values in group.settings.items() if what != "lr" and len(values) == 1}
        quantities |= {(name, what): value for what, (value,) in constant.items()}
    return quantities


def _augmentation(each: Effects) -> Quantities:
    return {
        (name, what): value
        for name, magnitude in (each.augmentation or {}).items()
        for what, field in MAGNITUDES.items()
        if (value := getattr(magnitude, field)) is not None
    }


def _curves(old: Effects, new: Effects, names: Names) -> Compared:
    before, after = old.groups or {}, new.groups or {}
    all_groups = list(dict.fromkeys((*before, *after)))
    groups_of: dict[tuple[Any, ...], list[str]] = {}  # by setting and its two curves: these groups share two rows
    for name in all_groups:
        settings = [groups[name].settings if name in groups else {} for groups in (before, after)]
        for what in dict.fromkeys((*settings[0], *settings[1])):
            curves = [each.get(what, ()) for each in settings]
            if curves[0] != curves[1] and (what == "lr" or max(map(len, curves)) > 1):
                groups_of.setdefault((what, *curves), []).append(name)
    rows, lines = [], []
    for (what, *curves), groups in groups_of.items():
        title = f"{what} of {'every group' if groups == all_groups else ', '.join(groups)}"
        rows += [(title, name, *_points(curve)) for name, curve in zip(names, curves, strict=True)]
        if what == "lr" and all(curves):
            peaks = [f"{name} {_peak(curve)}" for name, curve in zip(names, curves, strict=True)]
            lines.append(f"{title}: {', '.join(peaks)}{_largest_difference(*curves)}")
    return ("at a fraction of the run", "", *PERCENTS), rows, lines


def _points(curve: Sequence[Any]) -> tuple[str, ...]:
    return tuple(_text(curve[round(part / 100 * (len(curve) - 1))]) for part in POINTS_PERCENT) if curve else NO_POINTS


def _peak(curve: tuple[float, ...]) -> str:
    step = curve.index(max(curve))
    return f"peak {_text(max(curve))} at step {step + 1:,} of {len(curve):,} ({100 * (step + 1) / len(curve):.0f} %)"


def _largest_difference(old: tuple[float, ...], new: tuple[float, ...]) -> str:
    """Names the step at which two curves differ most, because they may agree at all points of the table."""
    if len(old) != len(new):
        return ""
    step = max(range(len(old)), key=lambda each: abs(old[each] - new[each]))
    return f", largest difference at step {step + 1:,} ({_text(old[step])}, {_text(new[step])})"


def _ema(old: Effects, new: Effects, names: Names) -> Compared:
    rows, lines = [], []
    for name, each in zip(names, (old, new), strict=True) if old.ema_decay != new.ema_decay else ():
        rows.append((name, *_points(each.ema_decay or ())))
        if each.ema_decay and each.epoch_steps:
            lines.append(f"{name}: {_half_life(each.ema_decay[-1], each.epoch_steps)}")
    return ("decay at a fraction of the run", *PERCENTS), rows, lines


def _half_life(decay: float, epoch_steps: int) -> str:
    if not 0 < decay < 1:
        return "no half-life"
    steps = math.log(0.5) / math.log(decay)
    return f"half-life at the end {steps:.1f} steps, {steps / epoch_steps:.2f} epochs"


def _labels(old: Effects, new: Effects, names: Names) -> Compared:
    before, after = ({name: index for index, name in enumerate(each.labels or ())} for each in (old, new))
    moved = {name: index for name, index in after.items() if before.get(name, index) != index}
    kinds = {
        "added": [name for name in after if name not in before],
        "removed": [name for name in before if name not in after],
        "at another index": [f"{name} {before[name]} -> {index}" for name, index in moved.items()],
    }
    return (), [], [f"{kind} ({len(each)}): {', '.join(each)}" for kind, each in kinds.items() if each]


def _classes(old: Effects, new: Effects, names: Names) -> Compared:
    head = ("label", *BALANCE_COLUMNS)
    before, after = old.classes or {}, new.classes or {}
    if before == after:
        return head, [], []
    rows = []
    for label in dict.fromkeys((*before, *after)):
        old_cells, new_cells = (each[label].cells if label in each else NO_CELLS for each in (before, after))
        pairs = zip(old_cells, new_cells, strict=True)
        rows.append((label, *(was if was == now else f"{was} -> {now}" for was, now in pairs)))
    return head, rows, [f"{name}: {imbalance_summary(each)}" for name, each in zip(names, (before, after), strict=True)]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


PARTS: list[tuple[str, Callable[..., bool], str, Callable[..., Compared]]] = [
    ("steps", all, "steps", _compare_quantities(("",), _steps, _text)),
    ("parameter groups", all, "groups", _compare_quantities(("group", ""), _groups, _text)),
    ("learning rate", all, "groups", _curves),
    ("EMA", any, "ema_decay", _ema),
    ("label map", all, "labels", _labels),
    ("class balance", all, "classes", _classes),
    (
        "augmentation (measured on 64 crops)",
        all,
        "augmentation",
        _compare_quantities(("operation", ""), _augmentation, "{:.2f}".format),
    ),
]
"""Title of a part, whether all or any of the two effects must have the field, the field, and its comparison."""


def _section(title: str, rows: Rows, lines: Sequence[str], style: Style) -> str:
    """Formats the title, a table and lines; an empty text without rows and lines."""
    if not rows and not lines:
        return ""
    if style == "markdown":
        table = [*markdown_table(rows), ""] if rows else []
        return "\n".join([f"**{title}**", "", *table, *(f"- {line}" for line in lines)]).rstrip() + "\n"
    return "".join(f"{line}\n" for line in (title, *(f"  {line}" for line in (*format_table(rows), *lines))))


def changed_without_effect(old: Effects, new: Effects) -> Iterator[str]:
    """Yields the paths of changed values that change no effect, if `Effects` covers their whole influence."""
    before, after = (
        {each.path: each.value for each in parameters(config) if each.kind in ("leaf", "unset")}
        for config in (old.config, new.config)
    )
    for path in [path for path in before if path in after and before[path] != after[path]]:
        if UNKNOWN in (before[path], after[path]) or not (_covers(old, path) and _covers(new, path)):
            continue
        if _effects_with(old, path, after[path]) == old and _effects_with(new, path, before[path]) == new:
            yield path


def _covers(computed: Effects, path: str) -> bool:
    """Whether the value at `path` influences nothing but the computed effects.

    Values of the augmentation are not covered: 64 crops cannot show that a rare change has become slightly more
    frequent.
    """
    parent, _, name = path.rpartition(".")
    groups = (computed.groups or {}).values()
    if path in ("data.sampler_power", "data.labels", "module.class_weight_power"):
        return computed.classes is not None
    if parent == "module.optimizer":
        return bool(groups) and (name == "backbone_lr_scale" or all(name in group.settings for group in groups))
    if parent in members(computed.values, "trainer.callbacks", WeightAveraging):
        return name in ("decay", "half_life_epochs", "ramp") and computed.ema_decay is not None
    return bool(groups) and path.startswith("module.schedule.")


def _effects_with(computed: Effects, path: str, value: Any) -> Effects:
    """Returns the effects of the same config with another value at `path`."""
    changed = copy.deepcopy(computed.config)
    next(each for each in parameters(changed) if each.path == path).set(value)
    return effects(changed, computed.splits)
