"""The text of an effective diff: the differences side by side, and nothing else."""

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fiddle as fdl
import pytest
import torch
from helpers import config_parts, planted
from helpers.config_parts import part
from helpers.planted import EQUAL, LONG_TAIL, splits

from jersey.augment.color import Noise
from jersey.data.index import Split
from jersey.lint.effective_diff import PARTS, changed_without_effect, effective_diff
from jersey.lint.simulate import effects
from jersey.training.losses import LogitAdjustedLoss
from jersey.training.optimizers import torch_optimizer

TITLES = {title for title, *_ in PARTS}


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Returns a function that creates configs on long-tailed data of empty files; no effect needs an image."""
    root = tmp_path_factory.mktemp("long_tail")
    for split in splits(LONG_TAIL, evaluation=1).values():
        for path in split.paths:
            file = root.joinpath(*path.parts[-3:])
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    return functools.partial(planted.baseline, root=str(root))


def sections(text: str) -> dict[str, list[str]]:
    """Returns the indented lines of each section by its title."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith(" "):
            found[line] = []
        elif line:
            found[list(found)[-1]].append(line.strip())
    return found


@pytest.mark.parametrize(
    ("override", "titles"),
    [
        ("epochs=40", {"steps", "learning rate", "EMA"}),
        ("lr=2e-4", {"learning rate"}),
        ("backbone_lr_scale=0.1", {"learning rate"}),
        ("betas=(0.9, 0.99)", {"parameter groups"}),
        ("ema.decay=0.999", {"EMA"}),
        ("sampler_power=1.0", {"class balance"}),
        ("class_weight_power=0.5", {"class balance"}),
        ("noise.std=0.1", {"augmentation (measured on 64 crops)"}),
        ("seed=4", set()),
    ],
)
def test_a_change_is_shown_in_its_sections_and_the_others_are_listed_as_equal(
    baseline: Any, override: str, titles: set[str]
) -> None:
    *_, same = found = sections(effective_diff(baseline(), baseline(override)))
    assert TITLES & set(found) == titles
    assert same.startswith("no effective difference in ")
    assert {title for title in TITLES if title in same} == TITLES - titles


def test_curves_are_shown_side_by_side_with_their_peaks(baseline: Any) -> None:
    text = effective_diff(baseline(), baseline("backbone_lr_scale=0.1"), names=("base", "slow"))
    head, old, new, line = sections(text)["learning rate"]
    assert head.endswith("  100 %")
    title = "lr of backbone_decay"
    assert old.startswith(title)
    assert " base " in old
    assert " slow " in new
    rates = [[float(cell) for cell in row.split()[-8:]] for row in (old, new)]
    assert rates[1] == pytest.approx([rate / 10 for rate in rates[0]], rel=1e-3)
    assert rates[0][-1] == pytest.approx(1e-6)
    assert line.startswith(
        f"{title}: base peak 0.0001 at step 204 of 1,020 (20 %), slow peak 1e-05 at step 204 of 1,020"
    )


def test_a_difference_between_the_points_of_the_table_is_reported(baseline: Any) -> None:
    schedules = [fdl.Partial(config_parts.in_steps, milestones=(step,), gamma=0.1) for step in (10, 12)]
    old, new = (baseline("lr=1.0", "epochs=1", part("module.schedule", schedule)) for schedule in schedules)
    _, before, after, line = sections(effective_diff(old, new))["learning rate"]
    assert before.split()[-8:] == after.split()[-8:]
    assert line.endswith("largest difference at step 11 (0.1, 1)")


def test_the_ema_is_shown_with_its_half_life(baseline: Any) -> None:
    lines = sections(effective_diff(baseline(), baseline("ema.decay=0.5")))["EMA"]
    assert lines[-1] == f"new: half-life at the end 1.0 steps, {1 / 34:.2f} epochs"
    without_ema = baseline(part("trainer.callbacks.ema", None))
    lines = sections(effective_diff(baseline(), without_ema))["EMA"]
    assert lines[2].split() == ["new", *["-"] * 8]


def test_classes_are_a_table_followed_by_the_imbalance(baseline: Any) -> None:
    """With class weights of power 1 and no balanced sampling, every class has the same fraction of the loss."""
    old, new = baseline("sampler_power=0.0"), baseline("sampler_power=0.0", "class_weight_power=1.0")
    lines = sections(effective_diff(old, new))["class balance"]
    rows = {line.split()[0]: line.split() for line in lines[1 : 1 + len(LONG_TAIL)]}
    assert list(rows) == sorted(LONG_TAIL, key=lambda name: (len(name), name))
    crops = sum(LONG_TAIL.values())
    assert rows["00"][1] == "4"
    assert rows["00"][-6:] == [f"{400 / crops:.1f}", "%", "->", f"{100 / len(LONG_TAIL):.1f}", "%", "0.00"]
    assert rows["00"][4:7] == ["1.000", "->", f"{crops / len(LONG_TAIL) / 4:.3f}"]
    assert lines[-2] == "old: 0 (most frequent) has 30 times the crops and 30 times the loss of 00 (rarest)"
    assert lines[-1] == "new: 0 (most frequent) has 30 times the crops and 1 times the loss of 00 (rarest)"


def test_a_logit_adjustment_is_a_difference_of_the_classes(baseline: Any) -> None:
    new = baseline(part("module.loss", fdl.Config(LogitAdjustedLoss, tau=0.5)))
    lines = sections(effective_diff(baseline(), new))["class balance"]
    rows = {line.split()[0]: line.split() for line in lines[1 : 1 + len(LONG_TAIL)]}
    assert rows["00"][-3:] == ["0.00", "->", f"{0.5 * math.log(4 / 120):.2f}"]


def test_the_label_map_lists_added_and_moved_labels(baseline: Any) -> None:
    names = sorted(LONG_TAIL, key=lambda name: (len(name), name))
    other = ["00", *(name for name in names if name != "00"), "99"]
    text = effective_diff(baseline(), baseline(f"labels={','.join(other)}"))
    moved = {"00": (names.index("00"), 0), **{name: (names.index(name), other.index(name)) for name in names[:3]}}
    added, shifted = sections(text)["label map"]
    assert added == "added (1): 99"
    assert shifted.startswith("at another index (")
    for name, (before, after) in moved.items():
        assert f"{name} {before} -> {after}" in shifted


def test_a_new_operation_is_shown_beside_a_dash(baseline: Any) -> None:
    new = baseline(part("module.augment.grain", fdl.Config(Noise, std=0.2)))
    lines = sections(effective_diff(baseline(), new))["augmentation (measured on 64 crops)"]
    (grain,) = [line for line in lines if line.startswith("grain")]
    assert grain.split()[-2] == "-"
    assert float(grain.split()[-1]) > 5


def test_settings_changed_by_another_schedule_are_shown_for_every_group(baseline: Any) -> None:
    new = baseline(part("module.schedule", fdl.Partial(config_parts.one_cycle, max_lr=0.1)))
    found = sections(effective_diff(baseline(), new))
    assert any(line.startswith("betas of every group") and "(0.9, 0.999)" in line for line in found["learning rate"])


def test_changes_without_effect_and_findings_come_last(baseline: Any) -> None:
    text = effective_diff(baseline(), baseline("warmup_frac=0.20001", "clip_norm=0.0"), names=("a", "b"))
    unused, finding = sections(text)["findings about b"]
    assert unused == "module.schedule.warmup_frac was changed without effect"
    assert finding.startswith("no effect: trainer.clip_norm=0.0 ")


def test_assumptions_and_failures_come_first_and_are_not_listed_as_equal(baseline: Any, tmp_path: Path) -> None:
    nowhere = f"root={tmp_path / 'none'}"
    old, new = (
        baseline(nowhere),
        baseline(nowhere, "epochs=40", part("module.schedule", fdl.Partial(config_parts.broken))),
    )
    text = effective_diff(old, new)
    found = sections(text)
    title = "assumed, or not computed"
    assert text.startswith(f"{title}\n")
    assert [line.partition(":")[0] for line in found[title]] == ["old", "new", "new"]
    (same,) = [title for title in found if title.startswith("no effective difference in")]
    assert not any(part in same for part in ("learning rate", "groups", "class balance", "label map", "steps"))


def test_markdown_has_complete_tables(baseline: Any) -> None:
    text = effective_diff(baseline(), baseline("lr=2e-4", "sampler_power=1.0"), style="markdown")
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 2
    for table in tables:
        assert set(table[1]) <= set("|- ")
        assert len({line.count("|") for line in table}) == 1
    assert "**learning rate**" in text
    assert "\n\n\n" not in text


SPLITS = {"long tail": splits(LONG_TAIL), "equal": splits(EQUAL), "none": None}


def unchanged(old: fdl.Buildable, new: fdl.Buildable, data: Mapping[str, Split] | None) -> list[str]:
    return list(changed_without_effect(effects(old, data), effects(new, data)))


CHANGES: list[tuple[str, list[str], list[str], list[str]]] = [
    ("long tail", [], ["warmup_frac=0.20001"], ["module.schedule.warmup_frac"]),
    ("long tail", [], ["lr=2e-4", "warmup_frac=0.20001"], ["module.schedule.warmup_frac"]),
    ("long tail", ["warmup_frac=1.0"], ["warmup_frac=1.0", "final_frac=0.5"], ["module.schedule.final_frac"]),
    ("equal", [], ["sampler_power=1.0"], ["data.sampler_power"]),
    ("equal", [], ["class_weight_power=1.0"], ["module.class_weight_power"]),
    ("equal", [], ["labels=0,00,01,23"], ["data.labels"]),  # the same labels as without pinning
    ("none", ["ema.decay=0.9999"], ["ema.decay=0.999"], ["trainer.callbacks.ema.decay"]),
    ("long tail", ["lr=0.0", "backbone_lr_scale=0.5"], ["lr=0.0"], ["module.optimizer.backbone_lr_scale"]),
    # Changes with an effect, or whose effect is not computed.
    ("long tail", [], ["lr=2e-4"], []),
    ("long tail", [], ["sampler_power=1.0"], []),
    ("none", [], ["sampler_power=1.0"], []),  # not computed without class counts
    ("none", [], ["class_weight_power=0.5"], []),
    ("none", [], ["labels=0,00"], []),
    ("equal", [], ["labels=00,0,01,23"], []),
    ("long tail", [], ["ema.decay=0.999"], []),
    ("long tail", [], ["betas=(0.9, 0.99)"], []),
    ("long tail", [], ["color.channel_swap_p=0.301"], []),  # 64 crops cannot show it
    ("long tail", [], ["label_smoothing=0.1"], []),  # not among the effects
    ("long tail", [], ["clip_norm=0.5"], []),
    ("long tail", [], ["accumulate=1", "betas=(0.9, 0.999)"], []),  # explicit defaults
    # The warm-up hides the last value in the new run, but not in the old one.
    ("long tail", [], ["warmup_frac=1.0", "final_frac=0.5"], []),
]


@pytest.mark.parametrize(("data", "old", "new", "paths"), CHANGES)
def test_only_changes_that_certainly_have_no_effect_are_reported(
    data: str, old: list[str], new: list[str], paths: list[str]
) -> None:
    assert unchanged(planted.baseline(*old), planted.baseline(*new), SPLITS[data]) == paths


def test_a_setting_outside_the_parameter_groups_is_not_reported() -> None:
    class Own(torch.optim.SGD):
        def __init__(self, params: Any, *, lr: float, weight_decay: float, rho: float) -> None:
            super().__init__(params, lr=lr, weight_decay=weight_decay)
            self.rho = rho

    optimizers = [
        fdl.Partial(torch_optimizer, make=fdl.Partial(Own, rho=rho), lr=0.1, weight_decay=0.0) for rho in (0.1, 0.2)
    ]
    old, new = (planted.baseline(part("module.optimizer", optimizer)) for optimizer in optimizers)
    assert unchanged(old, new, SPLITS["long tail"]) == []


def test_nothing_is_reported_if_the_schedule_fails() -> None:
    broken = part("module.schedule", fdl.Partial(config_parts.broken))
    old, new = planted.baseline(broken), planted.baseline("backbone_lr_scale=0.5", broken)
    assert unchanged(old, new, SPLITS["long tail"]) == []
