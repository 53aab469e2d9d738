"""The figure of digit errors, checked by its pixels."""

import numpy as np
import pytest
from helpers.pictures import assert_nothing_touches_the_border, is_color
from PIL import Image

from jersey.evaluation.digit_errors import ErrorType, digit_confusions, errors_by_type
from jersey.plots.canvas import DARK
from jersey.plots.matrices import digit_errors

ALL_NAMES = [str(digit) for digit in range(10)] + [f"{number:02d}" for number in range(33)]


def picture(counts_KK: np.ndarray, names: list[str]) -> Image.Image:
    errors, places = errors_by_type(counts_KK, names), digit_confusions(counts_KK, names)
    return digit_errors(errors, places, crops=int(counts_KK.sum()), title="val, epoch 3")


def bar_widths_px(image: Image.Image) -> list[int]:
    """Returns the distinct widths of the bars in increasing order."""
    return sorted({int(row.sum()) for row in is_color(image, DARK, within=1)} - {0})


@pytest.mark.parametrize(
    "names", [["7"], ALL_NAMES, ["illegible", "a very long name, and a bit more of it" * 3, "٣", "$\\frac$"]]
)
@pytest.mark.parametrize("crops", [0, 4000])
def test_nothing_touches_the_border(names: list[str], crops: int) -> None:
    assert_nothing_touches_the_border(picture(np.full((len(names), len(names)), crops), names))


@pytest.mark.parametrize("correct", [0, 50, 9000])
def test_bar_lengths_are_proportional_to_the_errors_of_their_type(correct: int) -> None:
    counts_KK = np.array([[0, 8, 0], [0, 0, 2], [4, 0, 0]])  # 2 as 3, 3 as 23, 23 as 2
    widths = bar_widths_px(picture(counts_KK + correct * np.eye(3, dtype=int), ["2", "3", "23"]))
    assert [width / widths[-1] for width in widths] == pytest.approx([2 / 8, 4 / 8, 1], abs=0.01)


def test_a_single_error_among_many_has_a_bar_and_no_error_has_none() -> None:
    assert len(bar_widths_px(picture(np.array([[50, 9000, 0], [0, 50, 1], [0, 0, 50]]), ["2", "3", "23"]))) == 2
    assert bar_widths_px(picture(50 * np.eye(3, dtype=int), ["2", "3", "23"])) == []


def test_a_confused_digit_changes_only_the_panel_of_its_place() -> None:
    """Compared with a correct prediction, only one of three panels has different cells."""
    names = ["21", "71", "27", "2", "7"]
    correct = 5 * np.eye(5, dtype=int)
    for predicted, panel in (("71", 0), ("27", 1)):
        one_error = correct.copy()
        one_error[0, names.index(predicted)] += 1
        one_more_correct = correct.copy()
        one_more_correct[0, 0] += 1
        before, after = (
            np.asarray(picture(counts_KK, names).convert("L")).astype(int)
            for counts_KK in (one_more_correct, one_error)
        )
        lower = slice(round(0.55 * before.shape[0]), None)  # below the bars
        columns = np.flatnonzero((before[lower] != after[lower]).any(axis=0))
        changed = {int(3 * column / before.shape[1]) for column in columns}
        assert changed == {panel}


def test_every_type_of_error_has_a_line() -> None:
    errors = {kind: [] for kind in ErrorType}
    places = digit_confusions(np.zeros((1, 1), dtype=int), ["1"])
    whole = digit_errors(errors, places, crops=0, title="val")
    few = digit_errors({ErrorType.OTHER: []}, places, crops=0, title="val")
    assert whole.height > few.height + 8 * 20
