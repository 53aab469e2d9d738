"""Counted randomness: equal counters, equal numbers; any other counters, other numbers."""

import itertools

import torch

from jersey.core.seeding import derived_generator

CPU = torch.device("cpu")


def draw(*counters: int) -> tuple[float, ...]:
    return tuple(torch.rand(4, generator=derived_generator(CPU, *counters)).tolist())


def test_the_counters_alone_decide_and_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(1)
    before, expected = draw(3, 1, 4), torch.rand(3)
    torch.manual_seed(1)
    draw(2, 7)
    assert draw(3, 1, 4) == before
    assert torch.equal(torch.rand(3), expected)


def test_neighbouring_counters_differ() -> None:
    """Also where a sum, a product or a missing last counter would be the same."""
    counters = [*itertools.product(range(5), repeat=3), *itertools.product(range(5), repeat=2), (0,), (1,)]
    assert len({draw(*values) for values in counters}) == len(counters)


def test_large_seeds() -> None:
    assert draw(2**32) != draw(0)
    assert draw(2**63 - 1, 0) != draw(2**63 - 2, 0)
