"""Every registered experiment comes back from JSON, from Python and from its own print; random overrides of it too."""

import copy
import typing
from typing import Any

import fiddle as fdl
import pytest
from helpers.registered import EXPERIMENTS, FIDDLERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jersey import config as configs
from jersey.config import values
from jersey.config.paths import Parameter, parameters, read
from jersey.config.saved import from_json
from jersey.core.errors import UserError
from jersey.lint.checks import PACKAGES, check

CONFIGS = {name: configs.get_experiment(name)() for name in EXPERIMENTS}


def same(first: fdl.Buildable, second: fdl.Buildable) -> bool:
    """Equal values, equal sharing, in the same order."""
    assert configs.difference(first, second) == ""
    assert configs.as_text(first) == configs.as_text(second)
    return first == second


def there_and_back(config: fdl.Buildable, name: str) -> fdl.Buildable:
    """Through JSON, then through Python."""
    code = configs.as_python(from_json(configs.to_json(config, name), PACKAGES), name)
    module: dict[str, Any] = {}
    exec(compile(code, "config.py", "exec"), module)
    return module[name]()


@pytest.mark.parametrize("fiddler", [None, *FIDDLERS])
@pytest.mark.parametrize("name", CONFIGS)
def test_it_comes_back_from_json_and_from_python(name: str, fiddler: str | None) -> None:
    config = copy.deepcopy(CONFIGS[name])
    if fiddler is not None:
        configs.apply_fiddler(config, fiddler)
    assert same(there_and_back(config, name), config)


@pytest.mark.parametrize("name", CONFIGS)
def test_what_it_shares_stays_shared(name: str) -> None:
    config = copy.deepcopy(CONFIGS[name])
    config.trainer.callbacks.again = config.trainer.callbacks.checkpoints
    back = there_and_back(config, name)
    assert back.trainer.callbacks.again is back.trainer.callbacks.checkpoints
    assert same(back, config)
    back.trainer.callbacks.again = copy.deepcopy(back.trainer.callbacks.checkpoints)
    assert there_and_back(back, name) == back != config


@pytest.mark.parametrize("name", CONFIGS)
def test_each_printed_line_is_an_override_that_changes_nothing(name: str) -> None:
    config = copy.deepcopy(CONFIGS[name])
    lines = [line for line in configs.as_text(config).splitlines() if " = <" not in line]
    assert len(lines) > 30
    for line in lines:
        configs.apply_override(config, line)
    assert same(config, CONFIGS[name])


SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(-(2**63) + 1, 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text() | st.sampled_from(["0", "00", "None", "1e-4", "(1,", "é\n"]),
    type(None): st.none(),
}
PLAIN = st.recursive(
    st.one_of(*SCALARS.values()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS[str], inner, max_size=3),
    max_leaves=4,
)


def values_of(wanted: Any) -> st.SearchStrategy[Any]:
    """Values that fit the type `wanted`; nothing where only Python code can give one."""
    return st.one_of([values_of_one(each) for each in values.alternatives(wanted)])


def values_of_one(wanted: Any) -> st.SearchStrategy[Any]:
    origin, arguments = values.origin_of(wanted), typing.get_args(wanted)
    if wanted in SCALARS:
        return SCALARS[wanted]
    if wanted is Any:
        return PLAIN
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin in values.PATHS:
        return st.text(min_size=1)
    if origin in values.MAPPINGS:
        return st.dictionaries(*map(values_of, values.mapping_types(wanted)), max_size=3)
    if origin in values.SEQUENCES:
        fixed = origin is tuple and arguments and arguments[-1] is not Ellipsis
        elements = values.element_types(wanted, len(arguments) if fixed else 1)
        parts = [values_of(element) for element in elements]
        many = st.tuples(*parts) if fixed else st.lists(parts[0], max_size=3)
        return many.map(list if origin is list else tuple)
    return st.nothing()


SETTABLE = {
    f"{name}: {each.path}": (name, each)
    for name, config in CONFIGS.items()
    for each in parameters(config)
    if each.kind != "node" and not values_of(each.wanted).is_empty
}


def test_there_is_something_to_set() -> None:
    kinds = {each.kind for _, each in SETTABLE.values()}
    assert kinds == {"leaf", "element", "unset"}
    assert len(SETTABLE) > 50 * len(CONFIGS)


@st.composite
def settings_of_any(draw: st.DrawFn) -> tuple[str, Parameter, Any]:
    """An experiment, one of its parameters, and a value for it."""
    name, parameter = SETTABLE[draw(st.sampled_from(sorted(SETTABLE)))]
    return name, parameter, draw(values_of(parameter.wanted))


@settings(max_examples=70, suppress_health_check=[HealthCheck.too_slow])
@given(settings_of_any())
def test_any_value_that_is_set_is_printed_so_that_it_can_be_set_again(setting: tuple[str, Parameter, Any]) -> None:
    name, parameter, value = setting
    config = copy.deepcopy(CONFIGS[name])
    configs.apply_override(config, f"{parameter.path}={value!r}")
    assert repr(read(config, parameter.path)) == repr(value)
    again = copy.deepcopy(CONFIGS[name])
    before = set(configs.as_text(again).splitlines())
    for line in configs.as_text(config).splitlines():
        if line not in before:
            configs.apply_override(again, line)
    assert same(again, config)
    assert same(there_and_back(config, name), config)


PATHS = st.sampled_from(sorted({each.path for config in CONFIGS.values() for each in parameters(config)[1:]}))
ENDINGS = PATHS.map(lambda path: path.rpartition(".")[2])
TEXTS = st.text() | PLAIN.map(repr) | PLAIN.map(str)


@settings(max_examples=70)
@given(st.sampled_from(sorted(CONFIGS)), st.text() | st.tuples(PATHS | ENDINGS | st.text(), TEXTS).map("=".join))
def test_a_random_override_works_or_is_a_user_error(name: str, override: str) -> None:
    config = copy.deepcopy(CONFIGS[name])
    message = ""
    try:
        configs.apply_override(config, override)
        check(config)
    except UserError as error:
        message = str(error)
    assert message.isprintable()
    assert same(there_and_back(config, name), config)
