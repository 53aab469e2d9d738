"""The compositional head predicts numbers without training crops from their digits."""

import pytest
import torch
from torch import Tensor, nn

from jersey.compare.recipes import open_accuracy
from jersey.core.labels import Labels
from jersey.models.heads import CompositionalHead
from jersey.models.parts import NUMBERS, PARTS, composition

UNSEEN = ("04", "17", "29", "33", "46", "58", "62", "71", "85", "90", "6")
SEEN = Labels(tuple(number for number in NUMBERS[::3] if number not in UNSEEN))


def crops_of(numbers: tuple[str, ...], *, each: int, seed: int) -> tuple[Tensor, list[str]]:
    """Returns noisy features from which a linear map can recover length and digits, and the number of each."""
    mixing_PD = torch.randn(PARTS, 48, generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(seed)
    shown = [number for number in numbers for _ in range(each)]
    clean_BD = composition(shown).T @ mixing_PD
    return clean_BD + torch.randn(clean_BD.shape, generator=generator), shown


@pytest.fixture(scope="module")
def head() -> CompositionalHead:
    torch.manual_seed(0)
    head = CompositionalHead(features=48, labels=SEEN)
    features_BD, shown = crops_of(SEEN.names, each=12, seed=0)
    labels_B = torch.tensor([SEEN.class_to_idx[number] for number in shown])
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.01, weight_decay=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(features_BD), labels_B).backward()
        optimizer.step()
    return head.eval()


@torch.no_grad()
def test_unseen_numbers_are_predicted(head: CompositionalHead) -> None:
    for numbers in (SEEN.names, UNSEEN):
        features_BD, shown = crops_of(numbers, each=10, seed=1)
        assert open_accuracy(head.open_vocabulary_logits(features_BD), shown) > 0.8  # chance level is 1 in 110


@torch.no_grad()
def test_the_holistic_term_causes_no_error_on_unseen_numbers(head: CompositionalHead) -> None:
    features_BD, shown = crops_of(UNSEEN, each=200, seed=2)
    label_B = torch.tensor([NUMBERS.index(number) for number in shown])
    alone_BN = (head.parts(features_BD) @ head.open_vocabulary_composition_PN).masked_fill(
        ~head.predictable_N, -torch.inf
    )
    alone_B = alone_BN.argmax(dim=1) == label_B
    both_B = head.open_vocabulary_logits(features_BD).argmax(dim=1) == label_B
    assert 0 < alone_B.sum() < len(label_B)
    assert both_B[alone_B].all()


def test_accuracy_by_hand() -> None:
    """A label outside the vocabulary is never predicted."""
    shown, predicted = ["7", "7", "00", "23", "23", "A7"], ["7", "07", "00", "23", "7", "7"]
    scores_BN = torch.stack([torch.tensor([float(number == each) for number in NUMBERS]) for each in predicted])
    assert open_accuracy(scores_BN, shown) == 3 / 6
    assert open_accuracy(scores_BN[:4], shown[:4]) == 3 / 4
