"""Heads: from the features of a crop to one logit a class, and for one of them to one of every thinkable number.

A head is called with `features`, their number, and `labels`, and gives a module from features [B,D] to logits [B,K].

Shapes: B crops, D features, K classes, P = 22 parts, N = 110 numbers (see `jersey.models.parts`).
"""

import torch
from torch import Tensor, nn

from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.models.parts import NUMBERS, PARTS, composition, parts_of


def linear_head(*, features: int, labels: Labels) -> nn.Linear:
    """The usual, holistic one: every number is a class of its own and shares nothing with the others."""
    return nn.Linear(features, len(labels))


class CompositionalHead(nn.Module):
    """A number's logit is `holistic_scale` times one of its own, plus what its length and its digits say.

    So "23" learns its tens from every number in the twenties and its ones from 3, 13, 33 ..., and its own logit has
    only to say what they cannot, such as the two digits touching. A label that is no number of one or two digits
    ("A7", "100") has its own logit alone. All of it is linear in the features: it exports and averages as the linear
    head does.

    The parts start at zero. At the start no length and no digit is thus favoured, and what the training numbers leave
    open (with 11 and 22 alone: is it the tens or the ones?) gradients split evenly.

    Args:
        features: D.
        labels: the label map; its length is K.
        holistic_scale: how much a number's own logit counts; 1 as much as a digit's, 0 leaves length and digits alone.
    """

    composition_PK: Tensor
    open_vocabulary_composition_PN: Tensor
    label_to_number_KN: Tensor
    legible_N: Tensor

    def __init__(self, *, features: int, labels: Labels, holistic_scale: float = 0.5) -> None:
        super().__init__()
        _check(labels, holistic_scale)
        self.holistic_scale = holistic_scale
        self.holistic = nn.Linear(features, len(labels))
        self.parts = nn.Linear(features, PARTS)
        nn.init.zeros_(self.parts.weight)
        nn.init.zeros_(self.parts.bias)
        composition_PK, open_vocabulary_composition_PN = composition(labels.names), composition(NUMBERS)
        unlearnt_P = (composition_PK.sum(dim=1) == 0).float()
        self._constant("composition_PK", composition_PK)
        self._constant("open_vocabulary_composition_PN", open_vocabulary_composition_PN)
        self._constant(
            "label_to_number_KN", torch.tensor([[float(name == number) for number in NUMBERS] for name in labels.names])
        )
        self._constant("legible_N", unlearnt_P @ open_vocabulary_composition_PN == 0)

    def _constant(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)  # the labels of a checkpoint say it all

    def forward(self, features_BD: Tensor) -> Tensor:
        return self.holistic_scale * self.holistic(features_BD) + self.parts(features_BD) @ self.composition_PK

    def open_vocabulary_logits(self, features_BD: Tensor) -> Tensor:
        """Scores [B,N] of NUMBERS, those that are no labels too; -inf where a digit was in no label at that place.

        Length and digits treat all numbers alike. The holistic term exists for labels only, and its level is
        arbitrary: a softmax over the labels does not change when all of them rise. Here it is shifted, crop by crop,
        so that the highest is 0. So labels stand to each other as in `forward`, and none is lifted over a number
        without such a term: an unseen number that the digits read right stays right. (Labels would otherwise win too
        often, as known classes do: https://arxiv.org/abs/1605.04253.)
        """
        scores_BN = self.parts(features_BD) @ self.open_vocabulary_composition_PN
        holistic_BN = self.holistic_scale * self.holistic(features_BD) @ self.label_to_number_KN
        is_label_N = self.label_to_number_KN.sum(dim=0) > 0
        highest_B1 = holistic_BN.masked_fill(~is_label_N, -torch.inf).amax(dim=1, keepdim=True)
        scores_BN = scores_BN + torch.where(is_label_N, holistic_BN - highest_B1, 0.0)
        return scores_BN.masked_fill(~self.legible_N, -torch.inf)


def _check(labels: Labels, holistic_scale: float) -> None:
    no_numbers = [name for name in labels.names if not parts_of(name)]
    if len(no_numbers) == len(labels):
        raise UserError(
            "the compositional head needs labels that are numbers of one or two digits, and there are none; "
            "take the linear head (module.network.head)"
        )
    if not 0 <= holistic_scale < float("inf"):
        raise UserError(f"module.network.head.holistic_scale={holistic_scale} is no scale; set it to 0.5 or so")
    if holistic_scale == 0 and no_numbers:
        raise UserError(
            f"module.network.head.holistic_scale=0 leaves the label {no_numbers[0]!r}, which is no number of one or "
            "two digits, without a logit; set it above 0"
        )
