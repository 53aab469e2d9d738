"""How well numbers that were in no training crop are read, when every string of at most two digits may be the answer.

Seen and unseen numbers are scored apart, as one average would hide a network that names labels only
(https://arxiv.org/abs/1707.00600).

Shapes: B crops, N = 110 numbers.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from jersey.core.labels import Labels
from jersey.models.parts import NUMBERS


class OpenAccuracy(NamedTuple):
    """Shares of crops; None without crops to share.

    seen: of the crops of labels, those read right.
    unseen: of the crops of other numbers, those read right.
    taken_for_seen: of the crops of other numbers, those read as a label.
    """

    seen: float | None
    unseen: float | None
    taken_for_seen: float | None


def open_accuracy(open_logits_BN: Tensor, numbers: Sequence[str], *, labels: Labels) -> OpenAccuracy:
    """Accuracy of the highest score.

    Args:
        open_logits_BN: of NUMBERS, see `jersey.models.heads.CompositionalHead.open_logits`.
        numbers: what the crops show; one that is not in NUMBERS cannot be read right.
        labels: of the network, the numbers it was trained on.
    """
    read = [NUMBERS[index] for index in open_logits_BN.argmax(dim=1).tolist()]
    pairs = list(zip(numbers, read, strict=True))
    seen = [pair for pair in pairs if pair[0] in labels.class_to_idx]
    unseen = [pair for pair in pairs if pair[0] not in labels.class_to_idx]
    return OpenAccuracy(
        seen=_share([true == said for true, said in seen]),
        unseen=_share([true == said for true, said in unseen]),
        taken_for_seen=_share([said in labels.class_to_idx for _, said in unseen]),
    )


def _share(facts: Sequence[bool]) -> float | None:
    return sum(facts) / len(facts) if facts else None
