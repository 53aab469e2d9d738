"""The confusion matrix, checked by its pixels."""

from itertools import pairwise

import numpy as np
import pytest
from helpers.pictures import assert_nothing_touches_the_border
from PIL import Image

from jersey.plots.matrices import confusion_matrix, recall_in_words, worst_confusions


def counts_of(*, classes: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 9, (classes, classes)) + 20 * np.eye(classes, dtype=int)


def names_of(*, classes: int) -> list[str]:
    return [str(number) for number in range(classes)]


def test_at_most_six_confusions_are_listed_the_worst_first() -> None:
    counts_KK = np.array([[9, 2, 0], [0, 9, 1], [5, 0, 9]])
    assert worst_confusions(counts_KK, ["8", "00", "3"]).replace("\N{NO-BREAK SPACE}", " ") == (
        "3 predicted as 8: 5 of 14, 8 predicted as 00: 2 of 11, 00 predicted as 3: 1 of 10"
    )

    assert worst_confusions(counts_of(classes=5), names_of(classes=5)).count("predicted") == 6
    assert worst_confusions(np.eye(3, dtype=int), ["1", "2", "3"]) == "no errors"


@pytest.mark.parametrize(
    ("correct", "crops", "words"),
    [
        (5, 5, "100.0 % of 5"),
        (9999, 10000, "99.9 % of 10,000"),
        (0, 3, "0.0 % of 3"),
        (2, 3, "66.7 % of 3"),
        (1, 5000, "0.1 % of 5,000"),
        (0, 0, "no crops"),
    ],
)
def test_only_classes_without_an_error_have_100_percent(correct: int, crops: int, words: str) -> None:
    assert recall_in_words(correct, crops) == words


@pytest.mark.parametrize("classes", [1, 2, 12, 43, 100])
def test_nothing_touches_the_border(classes: int) -> None:
    image = confusion_matrix(counts_of(classes=classes), names_of(classes=classes), title="val, epoch 3")
    assert_nothing_touches_the_border(image)


def test_long_names_enlarge_the_image() -> None:
    short = confusion_matrix(np.eye(2, dtype=int), ["1", "2"], title="val")
    long = confusion_matrix(np.eye(2, dtype=int), ["1", "two and a half hundred, and some more of it"], title="val")
    assert long.width > short.width + 50
    assert long.height > short.height + 50
    assert_nothing_touches_the_border(long)


def inside_of(image: Image.Image) -> np.ndarray:
    """Returns the pixels [H,W,C] inside of the black frame around the cells."""
    is_black_HW = np.asarray(image.convert("L")) < 5
    rows = np.flatnonzero(is_black_HW.mean(axis=1) > 0.5)
    columns = np.flatnonzero(is_black_HW.mean(axis=0) > 0.5)
    return np.asarray(image)[rows[0] + 1 : rows[-1], columns[0] + 1 : columns[-1]]


def cells_of(image: Image.Image, *, classes: int) -> np.ndarray:
    """Returns the pixels [K,K,side,side,C] of the cells without the lines between them."""
    pixels_HWC = inside_of(image)
    cell_px = (len(pixels_HWC) + 1) // classes
    starts_K = cell_px * np.arange(classes)
    return np.array([[pixels_HWC[y : y + cell_px - 1, x : x + cell_px - 1] for x in starts_K] for y in starts_K])


def corners_of(image: Image.Image, *, classes: int) -> np.ndarray:
    """Returns the colors [K,K,C] near the upper left corner of the cells."""
    return cells_of(image, classes=classes)[:, :, 2, 2]


def test_larger_fractions_are_darker_in_grayscale_too() -> None:
    percents = [0, 1, 5, 20, 50, 90]
    counts_KK = np.diag(percents)
    counts_KK[:, 5] += 100 - np.array(percents)
    counts_KK[5, 5] = 90
    counts_KK[5, 0] = 10
    image = confusion_matrix(counts_KK, names_of(classes=6), title="val").convert("L")
    assert all(lighter > darker for lighter, darker in pairwise(corners_of(image, classes=6).diagonal().tolist()))


def test_colors_are_fractions_of_the_row_for_any_number_of_crops() -> None:
    image = confusion_matrix(np.array([[3, 1], [100, 300]]), ["1", "2"], title="val")
    corners_KK3 = corners_of(image, classes=2)
    assert (corners_KK3[0, 0] == corners_KK3[1, 1]).all()
    assert (corners_KK3[0, 1] == corners_KK3[1, 0]).all()
    assert (corners_KK3[0, 0] != corners_KK3[0, 1]).any()


@pytest.mark.parametrize("classes", [3, 43])
def test_cells_with_crops_contain_their_count_and_the_others_are_empty(classes: int) -> None:
    counts_KK = 100 * np.eye(classes, dtype=int)
    counts_KK[0, 1], counts_KK[1, 2] = 1, 23
    cells = cells_of(confusion_matrix(counts_KK, names_of(classes=classes), title="val"), classes=classes)
    has_ink_KK = (cells != cells[:, :, 2:3, 2:3]).any(axis=(2, 3, 4))
    np.testing.assert_array_equal(has_ink_KK, counts_KK > 0)
    is_ink_of_1, is_ink_of_23 = ((cell != cell[2, 2]).any(axis=(0, 2)) for cell in (cells[0, 1], cells[1, 2]))
    assert is_ink_of_23.sum() > 1.5 * is_ink_of_1.sum(), "two digits are wider than one"


@pytest.mark.parametrize("count", [8, 88, 888, 8888, 88888])
def test_counts_stay_in_their_cells(count: int) -> None:
    image = confusion_matrix(np.full((43, 43), count), names_of(classes=43), title="val")
    pixels_HWC = inside_of(image)
    cell_px = (len(pixels_HWC) + 1) // 43
    lines_HWC = pixels_HWC[:, cell_px - 1 :: cell_px]
    assert lines_HWC.shape[1] == 42
    assert (lines_HWC == lines_HWC[0, 0]).all()


def test_a_class_without_crops_looks_different_from_one_that_is_always_misclassified() -> None:
    misclassified = confusion_matrix(np.array([[4, 0], [4, 0]]), ["1", "2"], title="val")
    absent = confusion_matrix(np.array([[4, 0], [0, 0]]), ["1", "2"], title="val")
    misclassified_cell, absent_cell = (cells_of(image, classes=2)[1, 1] for image in (misclassified, absent))
    assert (absent_cell == absent_cell[..., :1]).all(), "gray"
    assert len(np.unique(absent_cell)) > 1, "hatched"
    assert (misclassified_cell == misclassified_cell[0, 0]).all()


def test_a_split_without_crops_and_names_in_other_scripts_can_be_plotted() -> None:
    confusion_matrix(np.zeros((3, 3), dtype=int), ["$\\frac$", "$", "٢٣"], title="$\\frac$")
