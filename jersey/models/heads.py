"""Heads map the features of a crop to one logit per class; the compositional head can also score unseen numbers.

A head is a function of `features` (their count D) and `labels` that returns a module from features [B,D] to logits
[B,K].

Shapes: B crops, D features, K classes, P = 22 parts, N = 110 numbers (see `jersey.models.parts`).
"""

import torch
from torch import Tensor, nn

from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.models.parts import NUMBERS, PARTS, composition, parts_of


def linear_head(*, features: int, labels: Labels) -> nn.Linear:
    """Returns the usual holistic head, from [B,D] to [B,K]: each number is a class of its own and shares no weights."""
    return nn.Linear(features, len(labels))


class CompositionalHead(nn.Module):
    """Adds up the logits of a number's length and digits, and `holistic_scale` times a logit of the whole number.

    So "23" learns its tens digit from every number in the twenties and its ones digit from 3, 13, 33 ..., and its
    holistic logit only has to learn the rest, such as the two digits touching. A label that is not a number of one or
    two digits ("A7", "100") has a holistic logit only. Everything is linear in the features, so it exports and averages
    as the linear head does.

    The weights of the parts start at zero. So no length and no digit is favored at first, and gradients are equal for
    digits that the training numbers cannot tell apart (with 11 and 22 alone, the tens digit and the ones digit).

    Args:
        features: number of features, D.
        labels: label map of K labels.
        holistic_scale: factor of the holistic logit; 1 weighs it like a digit, 0 disables it.

    Raises:
        UserError: a label would have no logit, or the factor is negative or not finite.
    """

    composition_PK: Tensor
    open_vocabulary_composition_PN: Tensor
    label_to_number_KN: Tensor
    predictable_N: Tensor

    def __init__(self, *, features: int, labels: Labels, holistic_scale: float = 0.5) -> None:
        super().__init__()
        _validate(labels, holistic_scale)
        self.holistic_scale = holistic_scale
        self.holistic = nn.Linear(features, len(labels))
        self.parts = nn.Linear(features, PARTS)
        nn.init.zeros_(self.parts.weight)
        nn.init.zeros_(self.parts.bias)
        composition_PK, open_vocabulary_composition_PN = composition(labels.names), composition(NUMBERS)
        absent_P = (composition_PK.sum(dim=1) == 0).float()
        self._register_constant("composition_PK", composition_PK)
        self._register_constant("open_vocabulary_composition_PN", open_vocabulary_composition_PN)
        self._register_constant(
            "label_to_number_KN", torch.tensor([[float(name == number) for number in NUMBERS] for name in labels.names])
        )
        self._register_constant("predictable_N", absent_P @ open_vocabulary_composition_PN == 0)

    def _register_constant(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)  # it follows from the labels in a checkpoint

    def forward(self, features_BD: Tensor) -> Tensor:
        return self.holistic_scale * self.holistic(features_BD) + self.parts(features_BD) @ self.composition_PK

    def open_vocabulary_logits(self, features_BD: Tensor) -> Tensor:
        """Returns the logits [B,N] of all NUMBERS; -inf for a number with a length or a digit that no label has.

        Length and digits treat all numbers alike. The holistic term exists for labels only, and its level is
        arbitrary, since a softmax over the labels is invariant to a shift of all. Here it is shifted, crop by crop,
        so that its maximum is 0. So the differences between labels are those of `forward`, and no label is raised
        above a number without such a term: an unseen number that the digits classify correctly stays correct.
        (Otherwise labels would win too often, as seen classes do: https://arxiv.org/abs/1605.04253.)
        """
        scores_BN = self.parts(features_BD) @ self.open_vocabulary_composition_PN
        holistic_BN = self.holistic_scale * self.holistic(features_BD) @ self.label_to_number_KN
        is_label_N = self.label_to_number_KN.sum(dim=0) > 0
        highest_B1 = holistic_BN.masked_fill(~is_label_N, -torch.inf).amax(dim=1, keepdim=True)
        scores_BN = scores_BN + torch.where(is_label_N, holistic_BN - highest_B1, 0.0)
        return scores_BN.masked_fill(~self.predictable_N, -torch.inf)


def _validate(labels: Labels, holistic_scale: float) -> None:
    not_numbers = [name for name in labels.names if not parts_of(name)]
    if len(not_numbers) == len(labels):
        raise UserError(
            "the compositional head needs labels that are numbers of one or two digits, and there are none; "
            "use the linear head (module.network.head)"
        )
    if not 0 <= holistic_scale < float("inf"):
        raise UserError(
            f"module.network.head.holistic_scale={holistic_scale} is not a finite number of 0 or more; set it to 0.5"
        )
    if holistic_scale == 0 and not_numbers:
        raise UserError(
            f"module.network.head.holistic_scale=0 leaves the label {not_numbers[0]!r}, which is not a number of one "
            "or two digits, without a logit; set it above 0"
        )
