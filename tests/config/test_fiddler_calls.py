"""Fiddlers are called by name, with checked arguments."""

import fiddle as fdl
import pytest
from helpers.config_graphs import assert_works_or_raises_user_error
from helpers.config_targets import Experiment, example
from hypothesis import given
from hypothesis import strategies as st

from jersey.config import apply_fiddler, fiddler
from jersey.core.errors import UserError


@fiddler
def fewer_epochs(config: fdl.Config[Experiment], epochs: int = 1, root: str | None = None) -> None:
    config.trainer.epochs = epochs
    if root is not None:
        config.data.root = root


@fiddler
def one_label(config: fdl.Config[Experiment], label: str) -> None:
    config.data.labels = (label,)


def test_a_fiddler_changes_the_config_in_place() -> None:
    config = example()
    apply_fiddler(config, "fewer_epochs")
    assert config.trainer.epochs == 1
    apply_fiddler(config, " fewer_epochs(epochs=2, root='/x') ")
    assert (config.trainer.epochs, config.data.root) == (2, "/x")
    apply_fiddler(config, "one_label(label=00)")
    assert config.data.labels == ("00",)


@pytest.mark.parametrize(
    ("call", "part"),
    [
        ("fewer_epoch", "did you mean fewer_epochs"),
        ("fewer_epochs(epoch=2)", "did you mean epochs?"),
        ("fewer_epochs(zzz=2)", "it has epochs, root"),
        ("fewer_epochs(epochs=many)", "int"),
        ("fewer_epochs(2)", "name(argument=value)"),
        ("fewer_epochs(**{'epochs': 2})", "fewer_epochs"),
        ("fewer_epochs(", "name(argument=value)"),
        ("a.b()", "name(argument=value)"),
        ("one_label", "requires label"),
    ],
)
def test_a_wrong_fiddler_call_raises_a_user_error_of_one_line(call: str, part: str) -> None:
    config = example()
    with pytest.raises(UserError) as caught:
        apply_fiddler(config, call)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert config == example()


@given(st.text() | st.text().map(lambda text: f"fewer_epochs({text})"))
def test_a_random_fiddler_call_works_or_raises_a_user_error(call: str) -> None:
    assert_works_or_raises_user_error(lambda: apply_fiddler(example(), call))
