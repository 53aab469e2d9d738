"""Ratios of times on a fake clock."""

from collections.abc import Callable

import pytest

from jersey.core import timing
from jersey.core.timing import StageTimes, interleaved_times, speedup


class Clock:
    """A clock that only the candidates advance."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.order: list[str] = []

    def candidate(self, name: str, *, takes_s: float, first_s: float = 0.0) -> Callable[[], None]:
        """Returns a candidate that takes longer after another candidate."""

        def run() -> None:
            is_first = not self.order or self.order[-1] != name
            self.now_s += takes_s + first_s * is_first
            self.order.append(name)

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock.now_s)
    return clock


def test_times_are_per_call_without_the_first_call_of_a_turn(clock: Clock) -> None:
    times_s = interleaved_times(
        {"a": clock.candidate("a", takes_s=0.001, first_s=5.0), "b": clock.candidate("b", takes_s=3.0, first_s=5.0)},
        rounds=4,
    )
    assert times_s == {"a": [pytest.approx(0.001)] * 4, "b": [pytest.approx(3.0)] * 4}


def test_candidates_take_turns_and_every_second_round_is_reversed(clock: Clock) -> None:
    interleaved_times({name: clock.candidate(name, takes_s=9.0) for name in "abc"}, rounds=3)
    measured = "".join(clock.order)[6:]  # without the warm-up
    assert measured == "aabbcc" + "ccbbaa" + "aabbcc"


def test_the_ratio_does_not_change_on_a_machine_that_slows_down() -> None:
    base_s = [0.3 * 1.5**round_ for round_ in range(9)]
    ratio = speedup(base_s, [each / 2 for each in base_s])
    assert (ratio.low, ratio.median, ratio.high) == pytest.approx((2.0, 2.0, 2.0))


def test_the_ratio_is_the_median_over_rounds_with_its_quartiles() -> None:
    ratio = speedup([1.0, 2.0, 3.0, 4.0, 500.0], [1.0] * 5)
    assert (ratio.low, ratio.median, ratio.high) == (2.0, 3.0, 4.0)
    assert str(ratio) == "3.000 (2.000 to 4.000)"


def test_stages_are_listed_with_their_seconds(clock: Clock) -> None:
    timed = StageTimes()
    for stage, takes_s in (("fit", 3.04), ("test", 0.26)):
        timed(stage, clock.candidate(stage, takes_s=takes_s))
    assert timed("sum", max, 3, 2, key=lambda value: -value) == 2
    assert str(timed) == "fit 3.0, test 0.3, sum 0.0"
