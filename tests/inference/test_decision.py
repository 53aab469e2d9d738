"""Probabilities become predictions: order, abstention, and the roster as a prior in Bayes' rule."""

import numpy as np
import pytest

from jersey.core.errors import UserError
from jersey.inference.decision import OFF_ROSTER_PROBABILITY, DecisionRule, Prediction, confidence_for
from jersey.inference.onnx_model import Threshold

NUMBERS = ("0", "00", "01", "10", "23")
NEAREST = {"3": "23", "1": "01", "000": "00", "24": "23"}


def decide(*probabilities: float, **options: object) -> Prediction:
    decision = DecisionRule(options.pop("numbers", NUMBERS), **{"labels": NUMBERS, **options})  # type: ignore[arg-type]
    (prediction,) = decision.predictions(np.array([probabilities], np.float32))
    return prediction


def test_the_likeliest_numbers_come_first_and_stay_text() -> None:
    prediction = decide(0.1, 0.5, 0.05, 0.3, 0.05, top_k=3)
    assert prediction.number == "00"
    assert prediction.confidence == pytest.approx(0.5)
    assert [number for number, _ in prediction.top_k] == ["00", "10", "0"]
    assert [p for _, p in prediction.top_k] == pytest.approx([0.5, 0.3, 0.1])


def test_of_equally_likely_numbers_the_first_is_predicted_as_in_argmax() -> None:
    probabilities_NK = np.random.default_rng(0).integers(1, 4, (50, 110)).astype(np.float32)
    numbers = [f"{number:03d}" for number in range(110)]
    for top_k in (1, 5, 110, 500):
        predictions = DecisionRule(numbers, labels=numbers, top_k=top_k).predictions(probabilities_NK)
        assert {len(prediction.top_k) for prediction in predictions} == {min(top_k, 110)}
        assert [prediction.number for prediction in predictions] == [
            numbers[index] for index in probabilities_NK.argmax(axis=1)
        ]


def test_each_row_is_decided_independently() -> None:
    probabilities_NK = np.random.default_rng(0).dirichlet(np.ones(len(NUMBERS)), 200)
    decision = DecisionRule(NUMBERS, labels=NUMBERS, roster=["00", "23"], threshold=0.6)
    alone = [decision.predictions(row_K[None])[0] for row_K in probabilities_NK]
    assert decision.predictions(probabilities_NK) == alone
    assert len({prediction.number for prediction in alone}) == 3


def test_below_the_threshold_the_rule_abstains_but_returns_the_likeliest() -> None:
    assert decide(0, 0.5, 0, 0.5, 0, threshold=0.5).number == "00"
    prediction = decide(0.2, 0.4, 0.2, 0.1, 0.1, threshold=0.41)
    assert prediction.number is None
    assert prediction.confidence == pytest.approx(0.4)
    assert prediction.top_k[0][0] == "00"


def test_a_roster_is_a_prior() -> None:
    # The two on the roster have half of 1 - OFF_ROSTER_PROBABILITY each, the other three a third of the rest each.
    prediction = decide(0.2, 0.3, 0.1, 0.1, 0.3, roster=["00", "10"], top_k=5)
    inside, outside = (1 - OFF_ROSTER_PROBABILITY) / 2, OFF_ROSTER_PROBABILITY / 3
    total = inside * (0.3 + 0.1) + outside * (0.2 + 0.1 + 0.3)
    assert dict(prediction.top_k) == pytest.approx(
        {"00": inside * 0.3 / total, "10": inside * 0.1 / total, "23": outside * 0.3 / total}
        | {"0": outside * 0.2 / total, "01": outside * 0.1 / total}
    )


def test_an_uncertain_prediction_moves_to_the_roster_and_a_confident_one_off_it_is_an_abstention() -> None:
    assert decide(0.25, 0.4, 0.1, 0.15, 0.1, roster=["0", "23"]).number == "0"
    prediction = decide(1e-6, 1 - 2e-6, 0, 1e-6, 0, roster=["0", "23"])
    assert prediction.number is None
    assert prediction.top_k[0][0] == "00"
    assert prediction.confidence > 0.99


def test_numbers_that_are_not_labels_are_marked_as_unseen() -> None:
    numbers = (*NUMBERS, "77")
    assert decide(0.1, 0.1, 0.1, 0.1, 0.1, 0.5, numbers=numbers).unseen
    assert not decide(0.1, 0.1, 0.1, 0.1, 0.5, 0.1, numbers=numbers).unseen
    assert not decide(0.1, 0.1, 0.1, 0.1, 0.1, 0.5, numbers=numbers, threshold=0.6).unseen


@pytest.mark.parametrize(
    ("roster", "words"),
    [
        (["0", "5", "23"], "'5'"),
        (["2"], "23"),
        ([""], "''"),
        (["A7"], "'A7'"),
        ([], "empty"),
        (["0", "23", "0"], "0 twice"),
        ([0, 23], "not the number 0"),
        ("0", "list"),
        *(([number], rf"nearest that it knows: {near}\b") for number, near in NEAREST.items()),
    ],
)
def test_a_wrong_roster_raises_one_sentence(roster: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words) as raised:
        DecisionRule(NUMBERS, labels=NUMBERS, roster=roster)
    assert "\n" not in str(raised.value)


THRESHOLDS = [Threshold(0.95, 0.4, 1, 1, 1), Threshold(0.98, 0.7, 1, 1, 1), Threshold(0.99, None, 0, None, 0)]


@pytest.mark.parametrize("precision", [0.9, 0.99, 1.5, float("nan")])
def test_the_error_for_a_precision_without_a_confidence_lists_those_with_one(precision: float) -> None:
    with pytest.raises(UserError, match=r"set it to 0\.95 or 0\.98 or 0, where 0"):
        confidence_for(precision, THRESHOLDS)
    with pytest.raises(UserError, match="; set it to 0, where 0"):
        confidence_for(precision, THRESHOLDS[2:])
    reason = "no confidence reached it" if precision == 0.99 else "it was not computed"
    with pytest.raises(UserError, match=f"as {reason}"):
        confidence_for(precision, THRESHOLDS)
    assert confidence_for(0.98, THRESHOLDS) == 0.7
    assert confidence_for(None, []) == 0
