"""Choosing crops, on six crops whose ranked can be counted by hand."""

import pytest
import torch

from jersey.evaluation.metrics import Evaluation
from jersey.evaluation.ranked import RankedPredictions, evenly_spaced

NAMES = ("0", "00", "A7")
# Rows: sure and right, sure and wrong, unsure and wrong, unsure and right, surest and wrong, as sure as the first.
LOGITS_NK = torch.tensor([[4.0, 0, 0], [0, 5, 0], [1, 0.5, 0], [0, 0.5, 0.6], [0, 0, 9], [4, 0, 0]])
LABELS_N = torch.tensor([0, 0, 2, 2, 1, 0])


@pytest.fixture
def ranked() -> RankedPredictions:
    return RankedPredictions(Evaluation(LOGITS_NK, LABELS_N, torch.arange(6)), NAMES)


def test_right_wrong_and_unsure(ranked: RankedPredictions) -> None:
    assert ranked.right().tolist() == [0, 3, 5]
    assert ranked.confident_errors().tolist() == [4, 1, 2]
    assert ranked.least_confident().tolist() == [3, 2, 0, 5, 1, 4]


def test_a_caption_has_confidence_number_and_truth_as_strings(ranked: RankedPredictions) -> None:
    share = LOGITS_NK[1].double().exp()[1] / LOGITS_NK[1].double().exp().sum()
    assert ranked.caption(1) == (f"{100 * share.item():.1f}% for 00", "true 0")
    assert ranked.caption(3)[1] == "true A7"


def test_the_rival_is_the_truth_or_else_the_runner_up(ranked: RankedPredictions) -> None:
    assert ranked.contrast_classes(4).tolist() == [2, 1], "read wrong: the true class, though another is its equal"
    assert ranked.contrast_classes(2).tolist() == [0, 2], "the true class is not the second"
    assert ranked.contrast_classes(3).tolist() == [2, 1]


def test_a_diverged_network_is_described_too() -> None:
    ranked = RankedPredictions(
        Evaluation(torch.full((2, 3), float("nan")), torch.tensor([0, 1]), torch.arange(2)), NAMES
    )
    assert sorted(ranked.least_confident().tolist()) == [0, 1]
    assert ranked.caption(1)[1] == "true 00"


def test_a_spread_reaches_from_end_to_end() -> None:
    chosen = {most: evenly_spaced(torch.arange(10, 19), most).tolist() for most in (3, 2, 9, 20)}
    assert chosen == {3: [10, 14, 18], 2: [10, 18], 9: list(range(10, 19)), 20: list(range(10, 19))}
    assert evenly_spaced(torch.arange(0), 5).tolist() == []
