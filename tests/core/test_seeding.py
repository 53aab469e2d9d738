"""Counter-based randomness: the counters, and nothing else, determine the random numbers."""

import itertools

import torch

from jersey.core.seeding import derived_generator

CPU = torch.device("cpu")


def sample(*counters: int) -> tuple[float, ...]:
    return tuple(torch.rand(4, generator=derived_generator(CPU, *counters)).tolist())


def test_only_the_counters_matter_and_the_global_generator_is_not_used() -> None:
    torch.manual_seed(1)
    before, expected = sample(3, 1, 4), torch.rand(3)
    torch.manual_seed(1)
    sample(2, 7)
    assert sample(3, 1, 4) == before
    assert torch.equal(torch.rand(3), expected)


def test_neighboring_counters_give_different_numbers() -> None:
    """Even if their sum, product or all but the last counter are equal."""
    counters = [*itertools.product(range(5), repeat=3), *itertools.product(range(5), repeat=2), (0,), (1,)]
    assert len({sample(*values) for values in counters}) == len(counters)


def test_large_seeds_give_different_numbers() -> None:
    assert sample(2**32) != sample(0)
    assert sample(2**63 - 1, 0) != sample(2**63 - 2, 0)
