"""Experiments and fiddlers are found by the names of their functions."""

from collections.abc import Callable
from typing import Any

import pytest

from jersey.config.registry import Registry
from jersey.core.errors import UserError


def known(count: int = 0) -> Registry[Callable[..., Any]]:
    registry: Registry[Callable[..., Any]] = Registry("experiment")

    @registry.add
    def resnet18_baseline() -> None:
        pass

    @registry.add
    def quickstart() -> None:
        pass

    for number in range(count):
        registry.add(type(f"other_{number}", (), {}))
    return registry


def test_function_is_found_by_its_name() -> None:
    registry = known()
    assert registry.get("quickstart").__name__ == "quickstart"
    assert registry.names() == ["quickstart", "resnet18_baseline"]


def test_decorator_returns_the_function() -> None:
    def function() -> None:
        pass

    assert known().add(function) is function


def test_a_name_is_taken_once() -> None:
    registry = known()
    function = registry.get("quickstart")
    with pytest.raises(ValueError, match="quickstart") as caught:
        registry.add(function)
    assert not isinstance(caught.value, UserError)


def test_unknown_name_gives_the_near_match_and_a_short_list() -> None:
    with pytest.raises(UserError) as caught:
        known().get("resnet18_basline")
    message = (
        "unknown experiment 'resnet18_basline'; did you mean resnet18_baseline? known: quickstart, resnet18_baseline"
    )
    assert str(caught.value) == message


def test_long_list_is_not_printed() -> None:
    with pytest.raises(UserError) as caught:
        known(count=20).get("zzz")
    assert "there are 22" in str(caught.value)
    assert "other_3" not in str(caught.value)


def test_empty_registry_says_so() -> None:
    with pytest.raises(UserError, match="no experiment is registered"):
        Registry("experiment").get("quickstart")
