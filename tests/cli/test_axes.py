"""Axes of a sweep are split and parsed like overrides, and checked before any run starts."""

import fiddle as fdl
import pytest
from helpers.config_graphs import PLAIN
from helpers.config_targets import Ema, example
from hypothesis import given, settings
from hypothesis import strategies as st

from jersey.cli.axes import search_space, sweep_points
from jersey.cli.flag_texts import split_axis
from jersey.config import apply_override, as_text
from jersey.config.paths import values_of
from jersey.core.errors import UserError

LITERALS = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
WORDS = st.text(st.characters(exclude_characters=",()[]{}", exclude_categories=["C", "Z"]), min_size=1).filter(
    lambda word: word[0] not in "'\""
)


def texts_of(axis: str, config: fdl.Buildable | None = None) -> list[str]:
    return [str(point) for point in sweep_points(config or example(), [axis])]


def error_of(*axes: str, config: fdl.Buildable | None = None) -> str:
    config = config or example()
    before = as_text(config)
    with pytest.raises(UserError) as caught:
        sweep_points(config, axes)
    assert as_text(config) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("axis", "path", "values"),
    [
        ("lr=1e-4,3e-4", "lr", ["1e-4", "3e-4"]),
        ("size_px=(48, 48),(64, 64)", "size_px", ["(48, 48)", "(64, 64)"]),
        ("labels=('0','00'),None", "labels", ["('0','00')", "None"]),
        (" lr = 1 , 2 ", "lr", ["1", "2"]),
        ("root=/it's,/that's", "root", ["/it's", "/that's"]),
        ("root='', 'it\\'s, ok'", "root", ["''", "'it\\'s, ok'"]),
        ("repeats['a,b=c']=1,2", "repeats['a,b=c']", ["1", "2"]),
        ("x={'a': [1, (2, ']')], ',': 3},4", "x", ["{'a': [1, (2, ']')], ',': 3}", "4"]),
        ("root=a)b,c]", "root", ["a)b", "c]"]),
        ("root=a,'{','='", "root", ["a", "'{'", "'='"]),
    ],
)
def test_an_axis_is_split_at_commas_outside_brackets_and_quotes(axis: str, path: str, values: list[str]) -> None:
    assert split_axis(axis, "sweep") == (path, values)


@given(st.lists(LITERALS.map(repr) | WORDS, min_size=1))
def test_splitting_is_the_inverse_of_joining(texts: list[str]) -> None:
    assert split_axis(f"data.root={','.join(texts)}", "sweep") == ("data.root", texts)


@settings(max_examples=25)
@given(st.lists(st.text(), min_size=1, max_size=3, unique=True))
def test_any_text_is_set_by_its_point_and_by_its_override(values: list[str]) -> None:
    points = sweep_points(example(), [f"root={','.join(map(repr, values))}"])
    for value, point in zip(values, points, strict=True):
        config = example()
        apply_override(config, point.assignments[0].override)
        assert values_of(config)["data.root"] == value
        assert as_text(config) == point.config_text


def test_the_product_keeps_the_order_and_the_last_axis_varies_fastest() -> None:
    points = sweep_points(example(), ["lr=3e-4,1e-4", "seed=1,0"])
    assert [str(point) for point in points] == [
        "lr=0.0003, seed=1",
        "lr=0.0003, seed=0",
        "lr=0.0001, seed=1",
        "lr=0.0001, seed=0",
    ]
    assert [each.path for each in points[0].assignments] == ["module.optimizer.lr", "seed"]
    elements = sweep_points(example(), ["labels[0]=a,b", "labels[1]=c"])
    assert [str(point) for point in elements] == ["labels.0='a', labels.1='c'", "labels.0='b', labels.1='c'"]


@pytest.mark.parametrize(
    ("axis", "texts"),
    [
        ("labels[1]=00,000,'0'", ["labels.1='00'", "labels.1='000'", "labels.1='0'"]),
        ("optimizer.lr=1", ["lr=1.0"]),
        ("devices=2,'2',00,[2]", ["devices=2", "devices='2'", "devices='00'", "devices=[2]"]),
        ("betas=(0.9,0.99),(0,1)", ["betas=(0.9, 0.99)", "betas=(0.0, 1.0)"]),
        ("repeats['a.b=c']=4", ["data.repeats['a.b=c']=4"]),
        ("repeats.00=4", ["repeats.00=4"]),
    ],
)
def test_values_are_parsed_by_the_type_of_their_parameter(axis: str, texts: list[str]) -> None:
    assert texts_of(axis) == texts


def test_names_are_as_short_as_possible_and_a_shared_sub_config_is_one_parameter() -> None:
    config = example(trainer__callbacks__other=fdl.Config(Ema, decay=0.5))
    assert texts_of("callbacks.ema.decay=0.1", config) == ["ema.decay=0.1"]
    config.trainer.callbacks.other = config.trainer.callbacks.ema
    assert "two axes" in error_of("callbacks.ema.decay=0.1", "other.decay=0.2", config=config)
    (point,) = sweep_points(config, ["other.decay=0.2"])
    assert point.config_text.count("decay = 0.2") == 2


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        (["lr"], ["'lr'", "path=value"]),
        (["=1"], ["path=value"]),
        (["lr=1,,2"], ["empty value"]),
        (["lr=(1,2"], ["lacks a )"]),
        (["learning_rate=1,2"], ["learning_rate", "module.optimizer.lr"]),
        (["seed=0,1", "epochs=1,two"], ["trainer.epochs", "'two'"]),
        (["optimizer=None"], ["module.optimizer", "sub-config"]),
        (["lr=1e-4,3e-4,0.0001"], ["module.optimizer.lr", "1e-4 and 0.0001"]),
        (["clip_norm=1,1.0"], ["trainer.clip_norm", "1 and 1.0"]),
        (["labels=('0',),['0']"], ["data.labels", "twice"]),
        (["lr=1e-4", "optimizer.lr=3e-4"], ["two axes", "module.optimizer.lr"]),
        (["labels=None", "labels[0]=1"], ["two axes", "data.labels"]),
        (["sampler_power=0,1", "class_weight_power=0,1"], ["sampler_power=1.0, class_weight_power=1.0", "multiply"]),
        (["seed=0,-1"], ["seed=-1", "too small"]),
    ],
)
def test_an_invalid_axis_or_point_raises_an_error(axes: list[str], words: list[str]) -> None:
    sentence = error_of(*axes)
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("lr=log(1e-5,1e-2)", "module.optimizer.lr=log(1e-05,0.01)"),
        ("lr=uniform(0, 1)", "module.optimizer.lr=uniform(0.0,1.0)"),
        ("seed=uniform(1,8)", "seed=uniform(1,8)"),
        ("lr=1e-5,1", "module.optimizer.lr=1e-05,1.0"),
        ("labels[1]=log(1,2),00", "data.labels[1]='log(1,2)','00'"),
    ],
)
def test_a_dimension_of_a_search_is_a_range_or_choices(text: str, dimension: str) -> None:
    (found,) = search_space(example(), [text])
    assert str(found) == dimension


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["lr=log(1e-2,1e-5)"], ["lower bound", "below"]),
        (["lr=log(0,1)"], ["above 0"]),
        (["lr=log(1e-5)"], ["two numbers"]),
        (["lr=uniform(a,b)"], ["module.optimizer.lr", "'a'"]),
        (["optimizer=log(1,2)"], ["module.optimizer", "sub-config"]),
        (["root=uniform(0,1)"], ["two numbers"]),
        (["lr=log(1,2)", "optimizer.lr=1,2"], ["two axes of the search"]),
        (["seed"], ["--search='seed'", "path=value"]),
    ],
)
def test_an_invalid_dimension_raises_an_error(texts: list[str], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        search_space(example(), texts)
    assert [word for word in words if word not in str(caught.value)] == []
    assert "\n" not in str(caught.value)
