"""Diffs of two configs, as `--diff` prints them."""

import re
from typing import Any

import fiddle as fdl
import pytest
import torch
from helpers.config_graphs import PLAIN
from helpers.config_targets import Data, Ema, example, named
from hypothesis import given
from hypothesis import strategies as st

from jersey.config import apply_override, diff
from jersey.config.paths import parameters


def tables(text: str) -> dict[str, dict[str, list[str]]]:
    """Returns the values by part and path, from a diff without double spaces in its values."""
    found = {}
    for table in text.split("\n\n"):
        head, *rows = [re.split("  +", line) for line in table.splitlines()]
        assert head[1:] == ["old", "new"]
        found[head[0]] = {row[0]: row[1:] for row in rows}
    return found


def test_equal_configs_and_an_explicit_default_have_an_empty_diff() -> None:
    assert diff(example(), example()) == diff(example(), example(), style="markdown") == ""
    explicit = example(module__optimizer__eps=1e-8)
    assert diff(example(), explicit) == diff(explicit, example()) == ""


EMA = "<Config:helpers.config_targets.Ema>"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            example(),
            example(seed=3, module__optimizer__lr=0.5, data__batch_size=8, data__labels=("00",)),
            {
                "data": {"data.labels": ["('0', '00', '01')", "('00',)"], "data.batch_size": ["64", "8"]},
                "module": {"module.optimizer.lr": ["0.0001", "0.5"]},
                "(root)": {"seed": ["0", "3"]},
            },
        ),
        (  # another callable with different defaults
            example(),
            example(module__optimizer=fdl.Partial(torch.optim.SGD, lr=1e-4)),
            {
                "module": {
                    "module.optimizer": ["<Partial:torch.optim.AdamW>", "<Partial:torch.optim.SGD>"],
                    "module.optimizer.weight_decay": ["0.01", "0"],
                }
            },
        ),
        (
            example(),
            example(trainer__callbacks__ema=None),
            {"trainer": {"trainer.callbacks.ema": [EMA, "None"], "trainer.callbacks.ema.decay": ["0.998", "-"]}},
        ),
        (
            example(),
            example(module__ema=fdl.Config(Ema, decay=0.5)),
            {"module": {"module.ema": ["None", EMA], "module.ema.decay": ["-", "0.5"]}},
        ),
        (  # a default_factory, whose value cannot be shown
            example(data=fdl.Partial(Data, root="data/crops", labels=("0", "00", "01"))),
            example(),
            {"data": {"data.repeats": ["unset", "{'00': 2, 'a.b=c': 3}"]}},
        ),
        (
            fdl.Config(named, stages=[]),
            fdl.Config(named, stages=[fdl.Config(Ema, decay=0.5)]),
            {"stages": {"stages": ["[]", "<list>"], "stages[0]": ["-", EMA], "stages[0].decay": ["-", "0.5"]}},
        ),
        (
            fdl.Config(named, stages=[fdl.Config(Ema)]),
            fdl.Config(named, stages=(fdl.Config(Ema),)),
            {"stages": {"stages": ["<list>", "<tuple>"]}},
        ),
        (fdl.Config(Ema), fdl.Partial(Ema), {"(root)": {"(root)": [EMA, EMA.replace("Config:", "Partial:")]}}),
        (fdl.Config(named, a=True), fdl.Config(named, a=1), {"(root)": {"a": ["True", "1"]}}),
    ],
)
def test_rows_are_grouped_by_part_and_name_path_old_and_new(
    old: fdl.Buildable, new: fdl.Buildable, expected: Any
) -> None:
    assert tables(diff(old, new)) == expected


def test_a_row_can_be_copied_into_an_override() -> None:
    old = example()
    new = example(data__repeats={"a.b=c": 5}, trainer__callbacks__ema__decay=0.25)
    for rows in tables(diff(old, new)).values():
        for path, (_, value) in rows.items():
            apply_override(old, f"{path}={value}")
    assert diff(old, new) == ""


def test_columns_are_aligned_and_a_long_value_is_printed_below_its_path() -> None:
    config = example(seed=12345, data__batch_size=8)
    short = diff(example(), config, names=("a_rather_long_name", "new")).splitlines()
    assert len({(line.rindex("  ") + 2) for line in short if line}) == 1
    assert short[0].split() == ["data", "a_rather_long_name", "new"]
    config.data.root = "x" * 200
    long = diff(example(), config, names=("a_rather_long_name", "new")).splitlines()
    assert [line for line in long if line in short] == short
    assert set(long) - set(short) == {"data.root", "  a_rather_long_name: 'data/crops'", f"  new: {'x' * 200!r}"}


def shared(config: fdl.Config) -> fdl.Config:
    config.module.ema = config.trainer.callbacks.ema
    return config


def separate(config: fdl.Config) -> fdl.Config:
    config.module.ema = fdl.Config(Ema, decay=config.trainer.callbacks.ema.decay)
    return config


def pair(first: fdl.Config, second: fdl.Config) -> fdl.Config:
    return fdl.Config(named, first=first, second=second)


def test_a_shared_object_differs_from_two_equal_ones_and_is_listed_once() -> None:
    paths = "module.ema, trainer.callbacks.ema"
    old, new = separate(example()), shared(example())
    assert tables(diff(old, new)) == {"(shared)": {paths: ["separate", "one object"]}}
    assert tables(diff(new, old)) == {"(shared)": {paths: ["one object", "separate"]}}
    assert diff(new, shared(example())) == ""
    removed = example(module__ema=None, trainer__callbacks__ema=None)
    assert tables(diff(new, removed))["(shared)"] == {paths: ["one object", "-"]}
    new.trainer.callbacks.again = new.module.ema
    rows = tables(diff(shared(example()), new))["(shared)"]
    assert rows == {f"{paths}, trainer.callbacks.again": ["separate", "one object"]}
    one, other = (fdl.Config(named, inner=fdl.Config(Ema)) for _ in range(2))  # its members are not listed
    assert list(tables(diff(pair(one, other), pair(one, one)))["(shared)"]) == ["first, second"]


def cells(line: str) -> list[str]:
    """Returns the cells of a table row as GitHub parses it: split at bare `|`, `\\|` unescaped, code unwrapped."""
    first, *parts, last = re.split(r"(?<!\\)\|", line)
    assert first == last == ""
    return [_without_fence(part.strip().replace(r"\|", "|")) for part in parts]


def _without_fence(text: str) -> str:
    code = re.fullmatch(r"(`+)([^`].*[^`]|[^`])\1", text)
    assert code is None or code[1] not in re.findall("`+", code[2])  # the first fence of that length closes the code
    return code[2] if code else text


def test_markdown_has_one_table_per_part() -> None:
    config = example(seed=3, data__batch_size=8)
    lines = diff(example(), config, names=("base", "a|b"), style="markdown").splitlines()
    assert [cells(line) for line in lines if line] == [
        ["data", "base", "a|b"],
        ["---"] * 3,
        ["data.batch_size", "64", "8"],
        ["(root)", "base", "a|b"],
        ["---"] * 3,
        ["seed", "0", "3"],
    ]
    assert lines[lines.index("| (root) | `base` | `a\\|b` |") - 1] == ""


@given(PLAIN | st.text("`|\\\n '\"a"), st.text("`|\\\n '\"a"))
def test_any_value_stays_in_its_markdown_cell(value: object, key: str) -> None:
    old, new = fdl.Config(named, **{key: None}), fdl.Config(named, **{key: (value,)})
    *_, row = diff(old, new, style="markdown").splitlines()
    path, before, after = cells(row)
    assert (before, after) == ("None", repr((value,)))
    assert path == parameters(new)[1].path
