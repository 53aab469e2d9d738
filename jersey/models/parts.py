"""Represents jersey numbers as sums of parts: length, tens digit and ones digit.

"0" has one digit, with ones digit 0; "00" has two digits, with tens and ones digit 0; "01" has two digits. They are
different sums, so nothing has to be learned to keep them apart. The only digit of "3" is a ones digit, like the 3 of
"23": neither has a digit to its right, which a convolution sees at any position. So one-digit numbers without train
crops can be predicted from two-digit ones, and only the length models the missing tens digit.

Gerke et al. (ICCV workshops 2015) compare digit-wise and holistic classification in soccer,
https://arxiv.org/abs/2108.07848 combines both in hockey, and https://arxiv.org/abs/1312.6082 predicts length and
digits of house numbers.

Shapes: P = 22 parts, N numbers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from jersey.core.labels import JERSEY_NUMBER

LENGTH, TENS, ONES = 0, 2, 12  # the first index of each kind of part: 2 lengths, 10 tens digits, 10 ones digits
PARTS = 22
NUMBERS = (*(f"{ones}" for ones in range(10)), *(f"{both:02d}" for both in range(100)))
"""Every string of at most two digits, in the order of labels: 0 ... 9, 00, 01 ... 99."""


def parts_of(name: str) -> tuple[int, ...]:
    """Returns the indices of a number's parts; () for a string that is not one or two digits, such as "A7" or "007"."""
    if not JERSEY_NUMBER.fullmatch(name):
        return ()
    *tens, ones = map(int, name)
    return (LENGTH + len(tens), *(TENS + digit for digit in tens), ONES + ones)


def composition(names: Sequence[str]) -> Tensor:
    """Returns a matrix, float [P,N], that is 1 where a number has a part and 0 elsewhere."""
    return torch.tensor([[float(part in parts_of(name)) for name in names] for part in range(PARTS)])
