"""Experiments and fiddlers are found by the names of their functions."""

from collections.abc import Callable
from typing import Any

import pytest

from jersey.config.registry import Registry
from jersey.core.errors import UserError


def quickstart() -> None:
    pass


def resnet18_baseline() -> None:
    pass


def known(count: int = 0) -> Registry[Callable[..., Any]]:
    registry: Registry[Callable[..., Any]] = Registry("experiment")
    for function in (resnet18_baseline, quickstart, *(type(f"other_{number}", (), {}) for number in range(count))):
        assert registry.add(function) is function
    return registry


def test_function_is_found_by_its_name_which_is_taken_once() -> None:
    registry = known()
    assert registry.get("quickstart") is quickstart
    assert registry.names() == ["quickstart", "resnet18_baseline"]
    with pytest.raises(ValueError, match="quickstart") as caught:
        registry.add(quickstart)
    assert not isinstance(caught.value, UserError)


def test_unknown_name_gives_the_near_match_and_a_short_list() -> None:
    with pytest.raises(UserError) as caught:
        known().get("resnet18_basline")
    message = (
        "unknown experiment 'resnet18_basline'; did you mean resnet18_baseline? known: quickstart, resnet18_baseline"
    )
    assert str(caught.value) == message
    with pytest.raises(UserError) as caught:
        known(count=20).get("zzz")
    assert str(caught.value) == "unknown experiment 'zzz'; there are 22, --list shows them"
    with pytest.raises(UserError, match="no experiment is registered"):
        Registry("experiment").get("quickstart")
