"""Random config graphs with shared parts, for tests of round trips."""

from collections.abc import Callable
from typing import Any

import fiddle as fdl
import torch
from hypothesis import strategies as st

from jersey.config import as_text, diff
from jersey.core.errors import UserError

FLOATS = st.floats(allow_nan=False)
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), FLOATS, st.text(), st.sampled_from(["0", "00"])
)
KEYS = ("00", "a.b=c", "it's", "\n")
ARGUMENTS = ("in_features", "bias", "out_features")
MAKERS = (
    list,
    tuple,
    lambda parts: dict(zip(KEYS, parts, strict=False)),
    lambda parts: fdl.Config(torch.nn.Sequential, *parts),  # positional arguments
    lambda parts: fdl.Partial(torch.nn.Linear, **dict(zip(ARGUMENTS, parts, strict=False))),
    lambda parts: fdl.ArgFactory(torch.nn.Linear, **dict(zip(ARGUMENTS, parts, strict=False))),
)


@st.composite
def graphs(draw: st.DrawFn) -> fdl.Config[Any]:
    """Generates graphs in which a part consists of earlier ones, so that an object occurs in several places."""
    parts = draw(st.lists(PLAIN, min_size=1, max_size=4))
    for _ in range(draw(st.integers(1, 6))):
        make = draw(st.sampled_from(MAKERS))
        parts.append(make(draw(st.lists(st.sampled_from(parts), max_size=4))))
    return fdl.Config(torch.nn.Sequential, *parts)


def same(first: fdl.Buildable, second: fdl.Buildable) -> bool:
    """Returns whether values, order and sharing are equal; Fiddle's `==` also compares the sharing of collections."""
    assert diff(first, second) == ""
    assert as_text(first) == as_text(second)
    return first == second


def assert_works_or_raises_user_error(change: Callable[[], object]) -> None:
    """Asserts that a change returns or raises a UserError of one line."""
    message = ""
    try:
        change()
    except UserError as error:
        message = str(error)
    assert message.isprintable()
