"""The confusion matrix image, checked by what its pixels show."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from jersey.plots.confusion_matrix import confusion_matrix, worst_confusions


def counts_of(*, classes: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 9, (classes, classes)) + 20 * np.eye(classes, dtype=int)


def names_of(*, classes: int) -> list[str]:
    return [str(number) for number in range(classes)]


def test_worst_confusions_are_sorted_and_leave_out_what_is_right() -> None:
    counts_KK = np.array([[9, 2, 0], [0, 9, 1], [5, 0, 9]])
    assert worst_confusions(counts_KK, ["8", "00", "3"]).replace("\N{NO-BREAK SPACE}", " ") == (
        "3 read as 8: 5, 8 read as 00: 2, 00 read as 3: 1"
    )


def test_at_most_six_confusions() -> None:
    assert worst_confusions(counts_of(classes=5), names_of(classes=5)).count("read") == 6


def test_no_confusions() -> None:
    assert worst_confusions(np.eye(3, dtype=int), ["1", "2", "3"]) == "no mistakes"


@pytest.mark.parametrize("classes", [1, 2, 12, 43, 100])
def test_nothing_touches_the_border(classes: int) -> None:
    image = confusion_matrix(counts_of(classes=classes), names_of(classes=classes), title="val, epoch 3")
    pixels_HW3 = np.asarray(image)
    for edge in (pixels_HW3[:5], pixels_HW3[-5:], pixels_HW3[:, :5], pixels_HW3[:, -5:]):
        assert (edge == 255).all()


def test_long_names_get_the_room_they_need() -> None:
    short = confusion_matrix(np.eye(2, dtype=int), ["1", "2"], title="val")
    long = confusion_matrix(np.eye(2, dtype=int), ["1", "two and a half hundred"], title="val")
    assert long.width > short.width + 50
    assert long.height > short.height + 50
    assert (np.asarray(long)[:, :5] == 255).all()


def diagonal_of(image: Image.Image, *, classes: int) -> np.ndarray:
    """Colours [K,C] near the upper left corner of the diagonal's cells, found by the black frame around them."""
    is_black_HW = np.asarray(image.convert("L")) < 20
    rows = np.flatnonzero(is_black_HW.mean(axis=1) > 0.5)
    columns = np.flatnonzero(is_black_HW.mean(axis=0) > 0.5)
    shares_K = (np.arange(classes) + 0.15) / classes
    y_K = (rows[0] + shares_K * (rows[-1] - rows[0])).astype(int)
    x_K = (columns[0] + shares_K * (columns[-1] - columns[0])).astype(int)
    return np.asarray(image)[y_K, x_K]


def test_larger_shares_are_darker_in_grey_too() -> None:
    shares = [0, 1, 5, 20, 50, 90]
    counts_KK = np.diag(shares)
    counts_KK[:, 5] += 100 - np.array(shares)
    counts_KK[5, 5] = 90
    counts_KK[5, 0] = 10
    image = confusion_matrix(counts_KK, names_of(classes=6), title="val").convert("L")
    assert all(lighter > darker for lighter, darker in pairwise(diagonal_of(image, classes=6)))


def test_a_class_without_crops_is_not_drawn_like_one_that_is_always_wrong() -> None:
    wrong = confusion_matrix(np.array([[4, 0], [4, 0]]), ["1", "2"], title="val")
    absent = confusion_matrix(np.array([[4, 0], [0, 0]]), ["1", "2"], title="val")
    assert len(set(diagonal_of(absent, classes=2)[1])) == 1, "grey"
    assert len(set(diagonal_of(wrong, classes=2)[1])) > 1


def test_names_with_dollar_signs_are_text() -> None:
    confusion_matrix(np.eye(2, dtype=int), ["$\\frac$", "$"], title="$\\frac$")
