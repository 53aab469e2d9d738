"""The text of an effective difference: what differs, side by side, and nothing else."""

from pathlib import Path
from typing import Any

import fiddle as fdl
import pytest
from helpers import config_parts
from helpers.planted import LONG_TAIL, splits

import experiments  # noqa: F401  # its import registers them
from jersey import config as configs
from jersey.augment.color import Noise
from jersey.lint.effective_diff import effective_difference

TITLES = {
    "steps",
    "parameter groups",
    "learning rate",
    "average of the weights",
    "label map",
    "class balance",
    "augmentation, measured on 64 crops",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The long-tailed index as empty files: no effect needs an image."""
    root = tmp_path_factory.mktemp("long_tail")
    for split in splits(LONG_TAIL, evaluation=1).values():
        for path in split.paths:
            file = root.joinpath(*path.parts[-3:])
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    return root


@pytest.fixture
def baseline(root: Path) -> Any:
    def make(*overrides: str) -> Any:
        config = configs.get_experiment("resnet18_baseline")()
        config.data.root = str(root)
        for override in overrides:
            configs.apply_override(config, override)
        config.module.network = fdl.Partial(config_parts.tiny_network)
        return config

    return make


def sections(text: str) -> dict[str, list[str]]:
    """The indented lines of each section by its title."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith(" "):
            found[line] = []
        elif line:
            found[list(found)[-1]].append(line.strip())
    return found


def test_equal_configs_differ_in_none_of_what_was_compared(baseline: Any) -> None:
    text = effective_difference(baseline(), baseline())
    assert text.startswith("no effective difference in ")
    assert text.count("\n") == 1
    assert all(title in text for title in TITLES)


@pytest.mark.parametrize(
    ("override", "titles"),
    [
        ("epochs=40", {"steps", "learning rate", "average of the weights"}),
        ("lr=2e-4", {"learning rate"}),
        ("backbone_lr_scale=0.1", {"learning rate"}),
        ("betas=(0.9, 0.99)", {"parameter groups"}),
        ("ema.decay=0.999", {"average of the weights"}),
        ("sampler_power=1.0", {"class balance"}),
        ("weight_power=0.5", {"class balance"}),
        ("noise.std=0.1", {"augmentation, measured on 64 crops"}),
        ("seed=4", set()),
    ],
)
def test_a_change_shows_where_it_acts_and_nowhere_else(baseline: Any, override: str, titles: set[str]) -> None:
    found = sections(effective_difference(baseline(), baseline(override)))
    said = {title for title in found if title in TITLES}
    assert said == titles
    (same,) = [title for title in found if title.startswith("no effective difference in")]
    assert {title for title in TITLES if title in same} == TITLES - titles


def test_curves_stand_side_by_side_with_their_peaks(baseline: Any) -> None:
    text = effective_difference(baseline(), baseline("backbone_lr_scale=0.1"), names=("base", "slow"))
    head, old, new, line = sections(text)["learning rate"]
    assert head.split("  ")[-1].strip() == "100 %"
    title = "lr of backbone_decay"
    assert old.startswith(title)
    assert " base " in old
    assert " slow " in new
    rates = [[float(cell) for cell in row.split()[-8:]] for row in (old, new)]
    assert rates[1] == pytest.approx([rate / 10 for rate in rates[0]], rel=1e-3)
    assert rates[0][-1] == pytest.approx(1e-6)
    assert line.startswith(
        f"{title}: base peak 0.0001 at step 204 of 1,020 (20%), slow peak 1e-05 at step 204 of 1,020"
    )


def test_a_difference_between_the_points_of_the_table_is_told(baseline: Any) -> None:
    old, new = baseline("lr=1.0", "epochs=1"), baseline("lr=1.0", "epochs=1")
    for config, milestone in ((old, 10), (new, 12)):
        config.module.schedule = fdl.Partial(config_parts.in_steps, milestones=(milestone,), gamma=0.1)
    _, before, after, line = sections(effective_difference(old, new))["learning rate"]
    assert before.split()[-8:] == after.split()[-8:]
    assert line.endswith("most apart at step 11 (0.1, 1)")


def test_the_average_has_its_half_life(baseline: Any) -> None:
    lines = sections(effective_difference(baseline(), baseline("ema.decay=0.5")))["average of the weights"]
    assert lines[-1] == f"new: half-life at the end 1.0 steps, {1 / 34:.2f} epochs"
    without = baseline()
    without.trainer.callbacks.ema = None
    lines = sections(effective_difference(baseline(), without))["average of the weights"]
    assert lines[2].split() == ["new", *["-"] * 8]


def test_classes_are_a_table_with_the_extremes_below(baseline: Any) -> None:
    """Weights of power 1 over a natural draw: every number has the same share of the loss."""
    old, new = baseline("sampler_power=0.0"), baseline("sampler_power=0.0", "weight_power=1.0")
    lines = sections(effective_difference(old, new))["class balance"]
    rows = {line.split()[0]: line.split() for line in lines[1 : 1 + len(LONG_TAIL)]}
    assert list(rows) == sorted(LONG_TAIL, key=lambda name: (len(name), name))
    crops = sum(LONG_TAIL.values())
    assert rows["00"][1] == "4"
    assert rows["00"][-3:] == [f"{4 / crops:.2%}", "->", f"{1 / len(LONG_TAIL):.2%}"]
    assert rows["00"][3:6] == ["1.000", "->", f"{crops / len(LONG_TAIL) / 4:.3f}"]
    assert lines[-2] == "old: commonest 0 to rarest 00: 30 to 1 in crops, 30 to 1 in the loss"
    assert lines[-1] == "new: commonest 0 to rarest 00: 30 to 1 in crops, 1 to 1 in the loss"


def test_the_label_map_says_what_came_went_and_moved(baseline: Any) -> None:
    names = sorted(LONG_TAIL, key=lambda name: (len(name), name))
    other = ["00", *(name for name in names if name != "00"), "99"]
    text = effective_difference(baseline(), baseline(f"labels={','.join(other)}"))
    moved = {"00": (names.index("00"), 0), **{name: (names.index(name), other.index(name)) for name in names[:3]}}
    added, shifted = sections(text)["label map"]
    assert added == "added (1): 99"
    assert shifted.startswith("at another index (")
    for name, (before, after) in moved.items():
        assert f"{name} {before} -> {after}" in shifted


def test_an_operation_that_is_new_stands_beside_a_dash(baseline: Any) -> None:
    new = baseline()
    new.module.augment.grain = fdl.Config(Noise, std=0.2)
    lines = sections(effective_difference(baseline(), new))["augmentation, measured on 64 crops"]
    (grain,) = [line for line in lines if line.startswith("grain")]
    assert grain.split()[-2] == "-"
    assert float(grain.split()[-1]) > 5


def test_groups_of_another_optimizer_are_told(baseline: Any) -> None:
    new = baseline()
    new.module.schedule = fdl.Partial(config_parts.one_cycle, max_lr=0.1)
    found = sections(effective_difference(baseline(), new))
    assert any(line.startswith("betas of every group") and "(0.9, 0.999)" in line for line in found["learning rate"])


def test_idle_changes_and_findings_come_last(baseline: Any) -> None:
    text = effective_difference(baseline(), baseline("warmup_frac=0.20001", "clip_norm=0.0"), names=("a", "b"))
    inert, finding = sections(text)["findings about b"]
    assert inert == "module.schedule.warmup_frac was changed without effect"
    assert finding.startswith("no effect: trainer.clip_norm=0.0 ")


def test_what_is_assumed_or_failed_comes_first_and_is_not_called_equal(baseline: Any, tmp_path: Path) -> None:
    old, new = baseline(f"root={tmp_path / 'none'}"), baseline(f"root={tmp_path / 'none'}")
    new.module.schedule = fdl.Partial(config_parts.broken)
    new.trainer.epochs = 40
    text = effective_difference(old, new)
    found = sections(text)
    title = "assumed, or not computed"
    assert text.startswith(f"{title}\n")
    assert [line.partition(":")[0] for line in found[title]] == ["old", "new", "new"]
    (same,) = [title for title in found if title.startswith("no effective difference in")]
    assert not any(part in same for part in ("learning rate", "groups", "class balance", "label map", "steps"))


def test_markdown_has_whole_tables(baseline: Any) -> None:
    text = effective_difference(baseline(), baseline("lr=2e-4", "sampler_power=1.0"), style="markdown")
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 2
    for table in tables:
        assert set(table[1]) <= set("|- ")
        assert len({line.count("|") for line in table}) == 1
    assert "**learning rate**" in text
    assert "\n\n\n" not in text
