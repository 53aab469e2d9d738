"""Ratios of times: within a round, so that a slow minute of the machine hits all alike."""

import time

import pytest

from jersey.bench.pairs import alternate, as_json, speed, table

TIMES_S = {"base": [1.0, 2.0, 10.0], "twice": [0.5, 1.0, 5.0], "mixed": [1.0, 1.0, 20.0]}


def test_speed_is_of_pairs() -> None:
    assert speed(TIMES_S, "twice", against="base").median == 2
    assert (speed(TIMES_S, "twice", against="base").low, speed(TIMES_S, "twice", against="base").high) == (2, 2)
    mixed = speed(TIMES_S, "mixed", against="base")  # 1, 2 and 0.5
    assert (mixed.low, mixed.median, mixed.high) == (0.75, 1, 1.5)


def test_one_round_has_no_spread() -> None:
    ratio = speed({"a": [2.0], "b": [3.0]}, "a", against="b")
    assert (ratio.low, ratio.median, ratio.high) == (1.5, 1.5, 1.5)


def test_all_take_turns_and_the_first_round_does_not_count() -> None:
    calls: list[str] = []
    times_s = alternate({name: lambda name=name: calls.append(name) for name in "abc"}, rounds=4)
    assert all(len(values) == 4 for values in times_s.values())
    rounds = ["".join(calls[start : start + 3]) for start in range(0, len(calls), 3)]
    assert len(rounds) == 5
    assert all(sorted(each) == list("abc") for each in rounds)
    assert {each[0] for each in rounds} == set("abc")  # nobody has always the same neighbour


def test_time_is_that_of_the_call() -> None:
    (slept_s,) = alternate({"sleep": lambda: time.sleep(0.05)}, rounds=1)["sleep"]
    assert slept_s >= 0.05


def test_the_table_says_what_the_json_says() -> None:
    text = table(TIMES_S, against="base", unit="crops", amount=10)
    assert [line.split()[0] for line in text.splitlines()[1:]] == list(TIMES_S)
    assert "2.000 (2.000 to 2.000)" in text
    assert "2000.0" in text  # the base's median, in ms
    assert as_json(TIMES_S, against="base")["twice"] == pytest.approx(
        {"median_ms": 1000.0, "speed": 2.0, "low": 2.0, "high": 2.0}
    )
