"""Counter-based randomness: every random choice is a function of (seed, where, when), not of earlier choices.

A resumed run therefore repeats an uninterrupted one without generator state in its checkpoint. numpy's SeedSequence
mixes the counters: https://numpy.org/doc/stable/reference/random/bit_generators/generated/numpy.random.SeedSequence.html
"""

import numpy as np
import torch


def derived_generator(device: torch.device, *counters: int) -> torch.Generator:
    """Returns a torch generator on `device`, seeded by non-negative counters such as (seed, epoch, batch)."""
    return torch.Generator(device).manual_seed(_derived_seed(*counters))


def seed_global_generators(*counters: int) -> None:
    """Seeds torch's generators of all devices in the same way, for layers such as dropout that take no generator."""
    torch.manual_seed(_derived_seed(*counters))


def _derived_seed(*counters: int) -> int:
    # SeedSequence ignores trailing zeros; with the count in front, (1, 2) and (1, 2, 0) differ.
    state = np.random.SeedSequence([len(counters), *counters]).generate_state(1, np.uint64)[0]
    return int(state) >> 1  # torch takes a signed 64-bit seed
