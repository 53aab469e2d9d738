"""Registries find experiments and fiddlers by the names of their functions."""

from collections.abc import Callable
from typing import Any

import pytest

from jersey.config.registry import Registry
from jersey.core.errors import UserError


def quickstart() -> None:
    pass


def resnet18_baseline() -> None:
    pass


def filled_registry(count: int = 0) -> Registry[Callable[..., Any]]:
    registry: Registry[Callable[..., Any]] = Registry("experiment")
    for function in (resnet18_baseline, quickstart, *(type(f"other_{number}", (), {}) for number in range(count))):
        assert registry.add(function) is function
    return registry


def test_a_function_is_found_by_its_name_which_must_be_unique() -> None:
    registry = filled_registry()
    assert registry.get("quickstart") is quickstart
    assert registry.names() == ["quickstart", "resnet18_baseline"]
    with pytest.raises(ValueError, match="quickstart") as caught:
        registry.add(quickstart)
    assert not isinstance(caught.value, UserError)


def test_an_unknown_name_raises_an_error_with_similar_names_or_all_names() -> None:
    with pytest.raises(UserError) as caught:
        filled_registry().get("resnet18_basline")
    message = (
        "unknown experiment 'resnet18_basline'; did you mean resnet18_baseline? known: quickstart, resnet18_baseline"
    )
    assert str(caught.value) == message
    with pytest.raises(UserError) as caught:
        filled_registry(count=20).get("zzz")
    listed = "there are 22, --list shows them; those of a package of your own need --import"
    assert str(caught.value) == f"unknown experiment 'zzz'; {listed}"
    with pytest.raises(UserError, match="no experiment is registered"):
        Registry("experiment").get("quickstart")
