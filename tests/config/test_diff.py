"""Two configs side by side, and the words behind `--diff`."""

import re

import fiddle as fdl
import torch
from helpers.config_graphs import PLAIN
from helpers.config_targets import Ema, example, named
from hypothesis import given
from hypothesis import strategies as st

from jersey.config import apply_override, difference
from jersey.config.paths import parameters


def tables(text: str) -> dict[str, dict[str, list[str]]]:
    """The values by path, by part, of a text whose values hold no two blanks."""
    found = {}
    for table in text.split("\n\n"):
        head, *rows = [re.split("  +", line) for line in table.splitlines()]
        assert head[1:] == ["old", "new"]
        found[head[0]] = {row[0]: row[1:] for row in rows}
    return found


def test_equal_configs_have_no_difference() -> None:
    assert difference(example(), example()) == ""
    assert difference(example(), example(), style="markdown") == ""


def test_a_default_written_out_is_no_difference() -> None:
    config = example()
    config.module.optimizer.eps = 1e-8
    assert difference(example(), config) == difference(config, example()) == ""


def test_rows_are_grouped_by_part_and_name_path_old_and_new() -> None:
    config = example()
    config.seed = 3
    config.module.optimizer.lr = 0.5
    config.data.batch_size = 8
    config.data.labels = ("00",)
    assert tables(difference(example(), config)) == {
        "data": {"data.labels": ["('0', '00', '01')", "('00',)"], "data.batch_size": ["64", "8"]},
        "module": {"module.optimizer.lr": ["0.0001", "0.5"]},
        "(root)": {"seed": ["0", "3"]},
    }


def test_a_row_can_be_copied_into_an_override() -> None:
    old, new = example(), example()
    new.data.repeats = {"a.b=c": 5}
    new.trainer.callbacks.ema.decay = 0.25
    for rows in tables(difference(old, new)).values():
        for path, (_, value) in rows.items():
            apply_override(old, f"{path}={value}")
    assert difference(old, new) == ""


def test_columns_are_in_line_under_their_names() -> None:
    config = example()
    config.seed = 12345
    config.module.optimizer.lr = 0.5
    lines = difference(example(), config, names=("a_rather_long_name", "new")).splitlines()
    columns = {(line.rindex("  ") + 2) for line in lines if line}
    assert len(columns) == 1
    assert lines[0].split() == ["module", "a_rather_long_name", "new"]


def test_a_long_value_stands_below_its_path_and_leaves_the_columns_alone() -> None:
    config = example()
    config.data.batch_size = 8
    short = difference(example(), config).splitlines()
    config.data.root = "x" * 200
    long = difference(example(), config).splitlines()
    assert [line for line in long if line in short] == short
    assert set(long) - set(short) == {"data.root", "  old: 'data/crops'", f"  new: {'x' * 200!r}"}


def test_another_callable_shows_at_its_path_with_the_defaults_that_differ() -> None:
    config = example()
    fdl.update_callable(config.module.optimizer, torch.optim.SGD)
    assert tables(difference(example(), config)) == {
        "module": {
            "module.optimizer": ["<Partial:torch.optim.AdamW>", "<Partial:torch.optim.SGD>"],
            "module.optimizer.weight_decay": ["0.01", "0"],
        }
    }


def test_a_sub_config_set_to_none_shows_itself_and_its_values() -> None:
    config = example()
    config.trainer.callbacks.ema = None
    assert tables(difference(example(), config))["trainer"] == {
        "trainer.callbacks.ema": ["<Config:helpers.config_targets.Ema>", "None"],
        "trainer.callbacks.ema.decay": ["0.998", "-"],
    }


def test_a_sub_config_in_the_place_of_none_shows_itself_and_its_values() -> None:
    config = example()
    config.module.ema = fdl.Config(Ema, decay=0.5)
    assert tables(difference(example(), config))["module"] == {
        "module.ema": ["None", "<Config:helpers.config_targets.Ema>"],
        "module.ema.decay": ["-", "0.5"],
    }


def test_a_default_that_only_code_can_make_is_called_unset() -> None:
    config = example()
    del config.data.repeats
    assert tables(difference(config, example()))["data"] == {"data.repeats": ["unset", "{'00': 2, 'a.b=c': 3}"]}


def test_lists_of_sub_configs_differ_by_member() -> None:
    old, new = fdl.Config(named, stages=[]), fdl.Config(named, stages=[fdl.Config(Ema, decay=0.5)])
    assert tables(difference(old, new)) == {
        "stages": {
            "stages": ["[]", "<list>"],
            "stages[0]": ["-", "<Config:helpers.config_targets.Ema>"],
            "stages[0].decay": ["-", "0.5"],
        }
    }
    assert "<list>" in difference(new, fdl.Config(named, stages=(fdl.Config(Ema, decay=0.5),)))


def test_another_root_is_a_difference() -> None:
    assert "(root)" in tables(difference(fdl.Config(Ema), fdl.Partial(Ema)))


def test_true_is_not_one() -> None:
    assert difference(fdl.Config(named, a=True), fdl.Config(named, a=1)) != ""


def shared(config: fdl.Config) -> fdl.Config:
    config.module.ema = config.trainer.callbacks.ema
    return config


def separate(config: fdl.Config) -> fdl.Config:
    config.module.ema = fdl.Config(Ema, decay=config.trainer.callbacks.ema.decay)
    return config


def test_one_object_in_two_places_differs_from_two_equal_ones() -> None:
    paths = "module.ema, trainer.callbacks.ema"
    old, new = separate(example()), shared(example())
    assert tables(difference(old, new)) == {"(shared)": {paths: ["separate", "one object"]}}
    assert tables(difference(new, old)) == {"(shared)": {paths: ["one object", "separate"]}}
    assert difference(shared(example()), shared(example())) == ""


def test_what_is_inside_a_shared_part_is_not_listed_again() -> None:
    def pair(first: fdl.Config, second: fdl.Config) -> fdl.Config:
        return fdl.Config(named, first=first, second=second)

    one = fdl.Config(named, inner=fdl.Config(Ema))
    other = fdl.Config(named, inner=fdl.Config(Ema))
    assert list(tables(difference(pair(one, other), pair(one, one)))["(shared)"]) == ["first, second"]


def test_a_third_place_of_a_shared_part_is_told_once() -> None:
    old, new = shared(example()), shared(example())
    new.trainer.callbacks.again = new.module.ema
    rows = tables(difference(old, new))["(shared)"]
    assert rows == {"module.ema, trainer.callbacks.ema, trainer.callbacks.again": ["separate", "one object"]}


def test_a_shared_part_that_is_gone_is_not_called_separate() -> None:
    config = example()
    config.module.ema = config.trainer.callbacks.ema = None
    assert tables(difference(shared(example()), config))["(shared)"] == {
        "module.ema, trainer.callbacks.ema": ["one object", "-"]
    }


def cells(line: str) -> list[str]:
    """The cells of a table row as GitHub reads them: split at bare `|`, then `\\|` is one, then code is unwrapped."""
    first, *parts, last = re.split(r"(?<!\\)\|", line)
    assert first == last == ""
    return [_unwrapped(part.strip().replace(r"\|", "|")) for part in parts]


def _unwrapped(text: str) -> str:
    code = re.fullmatch(r"(`+)([^`].*[^`]|[^`])\1", text)
    assert code is None or code[1] not in re.findall("`+", code[2])  # the first fence of that length ends it
    return code[2] if code else text


def test_markdown_has_a_table_a_part() -> None:
    config = example()
    config.seed = 3
    config.data.batch_size = 8
    lines = difference(example(), config, names=("base", "a|b"), style="markdown").splitlines()
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
    *_, row = difference(old, new, style="markdown").splitlines()
    path, before, after = cells(row)
    assert (before, after) == ("None", repr((value,)))
    assert path == parameters(new)[1].path
