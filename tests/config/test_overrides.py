"""Overrides resolve a path to a parameter and check the type of the value."""

from typing import Any

import fiddle as fdl
import pytest
import torch
from helpers.config_graphs import assert_works_or_raises_user_error
from helpers.config_targets import Data, Ema, example, named
from hypothesis import given
from hypothesis import strategies as st

from jersey.config import apply_override, as_text, diff
from jersey.config.paths import parameters
from jersey.core.errors import UserError


def error_of(override: str, config: fdl.Buildable | None = None) -> str:
    config = config or example()
    before = as_text(config)
    with pytest.raises(UserError) as caught:
        apply_override(config, override)
    assert as_text(config) == before
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("module.optimizer.lr=1e-3", "module.optimizer.lr", 1e-3),
        (" lr = 1 ", "module.optimizer.lr", 1.0),
        ("root=a=b", "data.root", "a=b"),
        ("ema.decay=0.5", "trainer.callbacks.ema.decay", 0.5),
        ("labels=0,00,23", "data.labels", ("0", "00", "23")),
        ("labels[1]=000", "data.labels", ("0", "000", "01")),
        ("seed=7", "seed", 7),
        ("clip_norm=2", "trainer.clip_norm", 2),
        ("untyped=4", "module.untyped", 4),
        ("repeats={'0': 1}", "data.repeats", {"0": 1}),
        ("repeats.00=5", "data.repeats", {"00": 5, "a.b=c": 3}),
        ("repeats['00']=5", "data.repeats", {"00": 5, "a.b=c": 3}),
        ("repeats[00]=5", "data.repeats", {"00": 5, "a.b=c": 3}),
        ("data.repeats['a.b=c']=5", "data.repeats", {"00": 2, "a.b=c": 5}),
        ("[a.b=c]=5", "data.repeats", {"00": 2, "a.b=c": 5}),
    ],
)
def test_an_override_sets_its_parameter(override: str, path: str, value: Any) -> None:
    config = example()
    apply_override(config, override)
    found = next(each for each in parameters(config) if each.path == path)
    assert found.value == value
    assert found.kind == "leaf"
    changed = {line.split()[0] for line in diff(example(), config).splitlines()[1:]}
    assert changed == {path}


def test_a_full_path_precedes_endings_and_a_set_value_precedes_a_default() -> None:
    config = example(data=fdl.Partial(named, seed=1, root="x"))
    apply_override(config, "seed=5")
    assert (config.seed, config.data.seed) == (5, 1)
    config.trainer.other = fdl.Config(torch.optim.SGD)  # its lr is left to the default
    apply_override(config, "lr=0.5")
    assert config.module.optimizer.lr == 0.5
    assert "lr" not in config.trainer.other.__arguments__


def test_an_ambiguous_ending_raises_an_error_with_the_full_paths() -> None:
    config = example(trainer__callbacks__second=fdl.Config(Ema, decay=0.5))
    message = error_of("decay=0.1", config)
    assert "trainer.callbacks.ema.decay" in message
    assert "trainer.callbacks.second.decay" in message
    apply_override(config, "second.decay=0.1")
    assert config.trainer.callbacks.second.decay == 0.1
    config.trainer.callbacks.second = config.trainer.callbacks.ema  # a shared sub-config counts once
    apply_override(config, "decay=0.2")
    assert config.trainer.callbacks.ema.decay == 0.2


def test_members_of_lists_and_tuples_can_be_set() -> None:
    config = fdl.Config(named, stages=[fdl.Config(Ema, decay=0.5), 7], pair=(fdl.Config(Ema, decay=0.25), 8))
    apply_override(config, "stages[0].decay=0.75")
    apply_override(config, "stages[1]=9")
    apply_override(config, "pair[0].decay=0.125")
    apply_override(config, "pair[1]=10")
    assert (config.stages[0].decay, config.stages[1]) == (0.75, 9)
    assert (config.pair[0].decay, config.pair[1]) == (0.125, 10)


def test_an_unknown_path_raises_an_error_with_similar_paths() -> None:
    expected = "module.optimizer.learning_rate: no such parameter; did you mean module.optimizer.lr?"
    assert error_of("module.optimizer.learning_rate=1") == expected
    assert "module.optimizer.lr?" in error_of("learning_rate=1")
    assert "module.optimizer.weight_decay?" in error_of("wd=1")
    assert "data.batch_size?" in error_of("batchsize=1")
    assert "trainer.epochs?" in error_of("trainer.epoch=1")
    assert "--print_config" in error_of("zzzzzzzzzzzz=1")
    assert error_of("a=1", fdl.Config(dict)) == "a: no such parameter; --print_config lists them"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        *(("cay=0.5", "no such parameter"), ("size=5", "no such parameter")),  # an ending consists of whole names
        # Arguments that are passed at run time cannot be set.
        *(("class_counts=[1, 2]", "no such parameter"), ("module.optimizer.params=[1]", "no such parameter")),
        ("trainer.clipnorm=1", "trainer.clip_norm?"),  # a keyword cannot be added to a `**keywords` callable
    ],
)
def test_a_path_that_is_not_a_parameter_raises_an_error(override: str, message: str) -> None:
    assert message in error_of(override)


def test_a_sub_config_cannot_be_replaced_but_an_optional_one_can_be_removed() -> None:
    config = example()
    apply_override(config, "callbacks.ema=None")
    assert config.trainer.callbacks.ema is None
    message = error_of("optimizer=3")
    assert message.startswith("module.optimizer is a sub-config, not a value; set one of module.optimizer.lr")
    assert "trainer.callbacks.ema.decay" in error_of("trainer.callbacks=None")
    assert error_of("callbacks.ema=0.9").endswith("or remove it with None")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("lr=abc", ["module.optimizer.lr", "float or Tensor", "'abc'", "0.0001"]),
        ("resize_mode=crop", ["data.resize_mode", "'stretch', 'letterbox'", "'crop'"]),
        ("epochs=2.5", ["trainer.epochs", "int", "2.5", "3"]),
        ("root=", ["data.root", "nothing", "data/crops"]),
        ("labels[0]=None", ["data.labels[0]", "str"]),
        ("epochs=" + "9" * 500, ["trainer.epochs", "999..."]),
    ],
)
def test_a_wrong_value_raises_an_error_with_path_type_and_old_value(override: str, parts: list[str]) -> None:
    message = error_of(override)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize("text", ['cr\'ops "x"', "'a", "a'", "[x", "(1, 2", "a\nb", "\u202ea"])
def test_a_text_with_quotes_or_brackets_is_accepted_in_the_quotes_of_the_error(text: str) -> None:
    config = example()
    advised = error_of(f"root={text}").rpartition("in quotes: ")[2]
    apply_override(config, f"root={advised}")
    assert config.data.root == text


@pytest.mark.parametrize(
    "override", ["", "lr", "=1", "lr:1", "[=1", "a b", "\n", "['\\x']=1", "a..b=1", ".=1", "lr.=1"]
)
def test_a_malformed_override_raises_an_error(override: str) -> None:
    error_of(override)


PATHS = st.sampled_from([each.path for each in parameters(example())[1:]])
ENDINGS = PATHS.map(lambda path: path.rpartition(".")[2])


@given(st.one_of(st.text(), st.tuples(PATHS | ENDINGS | st.text(), st.text()).map("=".join)))
def test_a_random_override_works_or_raises_a_user_error(override: str) -> None:
    config = example()
    assert_works_or_raises_user_error(lambda: apply_override(config, override))
    as_text(config)


@given(
    st.fixed_dictionaries(
        {
            "root": st.text(),
            "labels": st.none() | st.lists(st.text()).map(tuple),
            "mean": st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3),
            "batch_size": st.integers(0, 2**40),
            "shuffle": st.booleans(),
            "repeats": st.dictionaries(st.text(), st.integers(-9, 9)),
            "devices": st.one_of(st.integers(0, 9), st.text(), st.lists(st.integers(0, 9))),
        }
    )
)
def test_every_printed_line_sets_the_same_value_in_another_config(settings: dict[str, Any]) -> None:
    source, target = example(), example()
    source.data = fdl.Partial(Data, **settings)
    for line in as_text(source).splitlines():
        if "<" not in line.partition(" = ")[2][:1]:
            apply_override(target, line)
    assert fdl.build(target).data.keywords == settings


@given(st.dictionaries(st.text(), st.integers(0, 9), min_size=1))
def test_every_dictionary_member_can_be_reached_by_its_path(members: dict[str, int]) -> None:
    config = fdl.Config(Data, repeats=dict(members))
    for each in parameters(config):
        if each.kind == "element":
            apply_override(config, f"{each.path}={each.value + 1}")
    assert config.repeats == {key: value + 1 for key, value in members.items()}
