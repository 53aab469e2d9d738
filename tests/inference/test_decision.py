"""Probabilities become answers: order, abstention, and the roster against Bayes by hand."""

import numpy as np
import pytest

from jersey.core.errors import UserError
from jersey.inference.decision import OFF_ROSTER_PROBABILITY, DecisionRule, Prediction, confidence_for
from jersey.inference.onnx_model import Threshold

NUMBERS = ("0", "00", "01", "10", "23")
NEAREST = {"3": "23", "1": "01", "000": "00", "24": "23"}


def read(*shares: float, **options: object) -> Prediction:
    decision = DecisionRule(options.pop("numbers", NUMBERS), **{"labels": NUMBERS, **options})  # type: ignore[arg-type]
    (reading,) = decision.predictions(np.array([shares], np.float32))
    return reading


def test_the_likeliest_numbers_come_first_and_stay_text() -> None:
    reading = read(0.1, 0.5, 0.05, 0.3, 0.05, top_k=3)
    assert reading.number == "00"
    assert reading.confidence == pytest.approx(0.5)
    assert [number for number, _ in reading.top_k] == ["00", "10", "0"]
    assert [share for _, share in reading.top_k] == pytest.approx([0.5, 0.3, 0.1])


def test_of_equal_numbers_the_first_is_taken_as_argmax_does() -> None:
    shares_NK = np.random.default_rng(0).integers(1, 4, (50, 110)).astype(np.float32)
    numbers = [f"{number:03d}" for number in range(110)]
    for top_k in (1, 5, 110, 500):
        readings = DecisionRule(numbers, labels=numbers, top_k=top_k).predictions(shares_NK)
        assert {len(reading.top_k) for reading in readings} == {min(top_k, 110)}
        assert [reading.number for reading in readings] == [numbers[index] for index in shares_NK.argmax(axis=1)]


def test_each_row_is_read_for_itself() -> None:
    shares_NK = np.random.default_rng(0).dirichlet(np.ones(len(NUMBERS)), 200)
    decision = DecisionRule(NUMBERS, labels=NUMBERS, roster=["00", "23"], threshold=0.6)
    alone = [decision.predictions(row_K[None])[0] for row_K in shares_NK]
    assert decision.predictions(shares_NK) == alone
    assert len({reading.number for reading in alone}) == 3


def test_below_the_threshold_there_is_no_answer_but_still_a_likeliest() -> None:
    assert read(0, 0.5, 0, 0.5, 0, threshold=0.5).number == "00"
    reading = read(0.2, 0.4, 0.2, 0.1, 0.1, threshold=0.41)
    assert reading.number is None
    assert reading.confidence == pytest.approx(0.4)
    assert reading.top_k[0][0] == "00"


def test_a_roster_is_a_prior() -> None:
    # On the roster (1 - LEAK) / 2 each, the other three LEAK / 3 each.
    reading = read(0.2, 0.3, 0.1, 0.1, 0.3, roster=["00", "10"], top_k=5)
    listed, other = (1 - OFF_ROSTER_PROBABILITY) / 2, OFF_ROSTER_PROBABILITY / 3
    whole = listed * (0.3 + 0.1) + other * (0.2 + 0.1 + 0.3)
    assert dict(reading.top_k) == pytest.approx(
        {"00": listed * 0.3 / whole, "10": listed * 0.1 / whole, "23": other * 0.3 / whole}
        | {"0": other * 0.2 / whole, "01": other * 0.1 / whole}
    )


def test_an_unsure_reading_moves_to_the_roster_and_a_sure_one_off_it_is_no_answer() -> None:
    assert read(0.25, 0.4, 0.1, 0.15, 0.1, roster=["0", "23"]).number == "0"
    reading = read(1e-6, 1 - 2e-6, 0, 1e-6, 0, roster=["0", "23"])
    assert reading.number is None
    assert reading.top_k[0][0] == "00"
    assert reading.confidence > 0.99


def test_numbers_that_are_no_labels_are_marked() -> None:
    numbers = (*NUMBERS, "77")
    assert read(0.1, 0.1, 0.1, 0.1, 0.1, 0.5, numbers=numbers).unseen
    assert not read(0.1, 0.1, 0.1, 0.1, 0.5, 0.1, numbers=numbers).unseen
    assert not read(0.1, 0.1, 0.1, 0.1, 0.1, 0.5, numbers=numbers, threshold=0.6).unseen


@pytest.mark.parametrize(
    ("roster", "says"),
    [
        (["0", "5", "23"], "'5'"),
        (["2"], "23"),
        ([""], "''"),
        (["A7"], "'A7'"),
        ([], "empty"),
        (["0", "23", "0"], "0 twice"),
        ([0, 23], "not the number 0"),
        ("0", "list"),
        *(([wanted], rf"nearest that it reads: {near}\b") for wanted, near in NEAREST.items()),
    ],
)
def test_a_wrong_roster_is_one_sentence(roster: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says) as raised:
        DecisionRule(NUMBERS, labels=NUMBERS, roster=roster)
    assert "\n" not in str(raised.value)


THRESHOLDS = [Threshold(0.95, 0.4, 1, 1, 1), Threshold(0.98, 0.7, 1, 1, 1), Threshold(0.99, None, 0, None, 0)]


@pytest.mark.parametrize("precision", [0.9, 0.99, 1.5, float("nan")])
def test_a_precision_without_a_confidence_is_one_sentence_that_names_those_with_one(precision: float) -> None:
    with pytest.raises(UserError, match=r"it has those for: 0\.95, 0\.98$"):
        confidence_for(precision, THRESHOLDS)
    with pytest.raises(UserError, match="none"):
        confidence_for(precision, THRESHOLDS[2:])
    assert confidence_for(0.98, THRESHOLDS) == 0.7
    assert confidence_for(None, []) == 0
