"""The figure of digit errors, checked by its pixels."""

import numpy as np
import pytest
from helpers.pictures import assert_nothing_touches_the_border, is_color
from PIL import Image

from jersey.evaluation.digit_errors import Confusion, ErrorType, digit_confusions, errors_by_type
from jersey.plots.canvas import DARK
from jersey.plots.matrices import CELL_PX, ROW_PX, digit_errors

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
    names = ["99", "79", "97", "2", "7"]
    correct = 5 * np.eye(5, dtype=int)
    for predicted, panel in (("79", 0), ("97", 1)):
        one_error = correct.copy()
        one_error[0, names.index(predicted)] += 1
        one_more_correct = correct.copy()
        one_more_correct[0, 0] += 1
        before, after = (
            np.asarray(picture(counts_KK, names).convert("L")).astype(int)
            for counts_KK in (one_more_correct, one_error)
        )
        lower = slice(-10 * CELL_PX, None)  # the last rows of the panels, below the bars
        columns = np.flatnonzero((before[lower] != after[lower]).any(axis=0))
        changed = {int(3 * column / before.shape[1]) for column in columns}
        assert changed == {panel}


def test_every_type_with_errors_has_a_line_and_no_other_has_one() -> None:
    errors = {kind: [Confusion("1", "2", 3)] for kind in ErrorType}
    whole, half = (digit_errors(shown, {}, crops=90, title="val") for shown in (errors, dict(list(errors.items())[:5])))
    assert whole.height - half.height == 5 * ROW_PX
    empty = {kind: [] for kind in ErrorType}
    none = digit_errors(empty, {}, crops=90, title="val")
    assert none.height < half.height - 4 * ROW_PX
    assert_nothing_touches_the_border(none)


def test_places_without_digits_have_no_panel() -> None:
    """Without errors only the panels determine the width."""
    widths = [picture(9 * np.eye(2, dtype=int), names).width for names in (["1", "2"], ["11", "12"], ["1", "12"])]
    assert widths[0] < widths[1] < widths[2]
