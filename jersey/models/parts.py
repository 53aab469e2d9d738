"""Jersey numbers as sums of parts: how many digits, which tens digit, which ones digit.

"0" is one digit and a 0 in the ones, "00" is two digits, 0 in the tens and 0 in the ones, "01" is two digits: they
are different sums, so nothing has to be learnt to keep them apart. The only digit of "3" is a ones digit, as the 3
of "23" is: both have nothing to their right, which a convolution sees wherever the number stands, and a number of one
digit that was never seen can be read from those of two. What a missing tens digit changes is left to the length.

Digit by digit against number by number, in soccer: Gerke et al., ICCV workshops 2015; both at once, in hockey:
https://arxiv.org/abs/2108.07848; a length beside the digits, on houses: https://arxiv.org/abs/1312.6082.

Shapes: P = 22 parts, N numbers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from jersey.core.labels import JERSEY_NUMBER

LENGTH, TENS, ONES = 0, 2, 12  # where these parts begin: 2 lengths, 10 tens digits, 10 ones digits
PARTS = 22
NUMBERS = (*(f"{ones}" for ones in range(10)), *(f"{both:02d}" for both in range(100)))
"""Every string of at most two digits, in the order of labels: 0 ... 9, 00, 01 ... 99."""


def parts_of(name: str) -> tuple[int, ...]:
    """The parts that a number is the sum of; none for what is no number of one or two digits, as "A7" or "007"."""
    if not JERSEY_NUMBER.fullmatch(name):
        return ()
    *tens, ones = map(int, name)
    return (LENGTH + len(tens), *(TENS + digit for digit in tens), ONES + ones)


def composition(names: Sequence[str]) -> Tensor:
    """Which part is in which number: 0 or 1, float [P,N]."""
    return torch.tensor([[float(part in parts_of(name)) for name in names] for part in range(PARTS)])
