"""The ranking of predictions, on six crops."""

import pytest
import torch

from jersey.evaluation.metrics import Evaluation
from jersey.evaluation.ranked import RankedPredictions, evenly_spaced

NAMES = ("0", "00", "A7")
# Rows: confident and correct, confident error, uncertain error, uncertain and correct, most confident error, a tie with
# the first row.
LOGITS_NK = torch.tensor([[4.0, 0, 0], [0, 5, 0], [1, 0.5, 0], [0, 0.5, 0.6], [0, 0, 9], [4, 0, 0]])
LABELS_N = torch.tensor([0, 0, 2, 2, 1, 0])


@pytest.fixture
def ranked() -> RankedPredictions:
    return RankedPredictions(Evaluation(LOGITS_NK, LABELS_N, torch.arange(6)), NAMES)


def test_rows_are_ranked_by_confidence(ranked: RankedPredictions) -> None:
    assert ranked.correct().tolist() == [0, 3, 5]
    assert ranked.confident_errors().tolist() == [4, 1, 2]
    assert ranked.least_confident().tolist() == [3, 2, 0, 5, 1, 4]


def test_a_caption_has_confidence_prediction_and_label(ranked: RankedPredictions) -> None:
    confidence = LOGITS_NK[1].double().exp()[1] / LOGITS_NK[1].double().exp().sum()
    assert ranked.caption(1) == (f"{100 * confidence.item():.1f} % for 00", "label 0")
    assert ranked.caption(3)[1] == "label A7"


def test_the_contrast_class_is_the_label_or_else_the_runner_up(ranked: RankedPredictions) -> None:
    assert ranked.contrast_classes(4).tolist() == [2, 1], "an error: the label, though another logit equals it"
    assert ranked.contrast_classes(2).tolist() == [0, 2], "the label is not the second"
    assert ranked.contrast_classes(3).tolist() == [2, 1]


def test_predictions_of_a_diverged_network_can_be_ranked() -> None:
    ranked = RankedPredictions(
        Evaluation(torch.full((2, 3), float("nan")), torch.tensor([0, 1]), torch.arange(2)), NAMES
    )
    assert sorted(ranked.least_confident().tolist()) == [0, 1]
    assert ranked.caption(1)[1] == "label 00"


def test_evenly_spaced_rows_include_both_ends() -> None:
    selected = {count: evenly_spaced(torch.arange(10, 19), count).tolist() for count in (3, 2, 9, 20)}
    assert selected == {3: [10, 14, 18], 2: [10, 18], 9: list(range(10, 19)), 20: list(range(10, 19))}
    assert evenly_spaced(torch.arange(0), 5).tolist() == []
