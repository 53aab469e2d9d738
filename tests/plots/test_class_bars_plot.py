"""The bars of data set and sampler, checked by their pixels."""

import numpy as np
import pytest
from helpers.pictures import assert_nothing_touches_the_border, gray_of, is_color
from PIL import Image

from jersey.plots.canvas import DARK, PALE, RED
from jersey.plots.class_bars import dataset_bars, sampler_bars

SPLITS = ("train", "val", "test")


def names_of(*, classes: int) -> list[str]:
    return ["illegible, all of it", "$\\frac$", "Ünï", "00", *map(str, range(classes))][:classes]


def bar_lengths(image: Image.Image, color: str = DARK) -> list[int]:
    """Returns the length of each bar of a color, from the top; anything thinner than a bar is ignored."""
    lengths_H = is_color(image, color).sum(axis=1)
    edges = np.flatnonzero(np.diff(lengths_H > 2, prepend=False, append=False))
    return [int(np.median(lengths_H[a:b])) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 5]


def without_legend(image: Image.Image) -> Image.Image:
    return image.crop((0, 0, round(0.72 * image.width), image.height))


def dataset(*rows: list[int]) -> Image.Image:
    counts_SK = np.array(rows)
    names = [str(number) for number in range(counts_SK.shape[1])]
    return dataset_bars(counts_SK, names, splits=SPLITS[: len(rows)], title="data")


@pytest.mark.parametrize("classes", [1, 3, 12, 43])
def test_nothing_touches_the_border(classes: int) -> None:
    counts_SK = np.random.default_rng(0).integers(0, 300_000, (3, classes))
    counts_SK[1] = 0
    names = names_of(classes=classes)
    title = "/a/path/that/goes/on and on/and/$never/ends" * 3
    for image in (
        dataset_bars(counts_SK, names, splits=SPLITS, title=title),
        sampler_bars(counts_SK[0], counts_SK[2], names, title=title),
    ):
        assert_nothing_touches_the_border(image)


def test_every_class_has_room_for_its_name() -> None:
    heights = [dataset([5] * classes).height for classes in (20, 40)]
    assert heights[1] - heights[0] > 20 * 12


def test_a_single_crop_among_many_is_visible() -> None:
    many, one = bar_lengths(dataset([100_000, 1]))
    assert many > one > 5


def test_a_class_without_crops_has_no_bar_but_a_hatched_row() -> None:
    image = dataset([9, 0, 5])
    assert len(bar_lengths(image)) == 2
    gray = is_color(image, "0.9") | is_color(image, "0.6")
    assert gray.sum() > 1000
    assert (is_color(dataset([9, 1, 5]), "0.9")).sum() < 0.1 * gray.sum()


def test_splits_are_side_by_side_on_their_own_scales() -> None:
    width_of_one = dataset([4, 2]).width
    image = dataset([4000, 2000], [4, 2], [2, 4])
    assert image.width > 2 * width_of_one
    in_halves = np.array([2 + 2 + 1, 1 + 1 + 2])
    first, second = bar_lengths(image)
    assert first / second == pytest.approx(in_halves[0] / in_halves[1], rel=0.05)


def test_bars_are_fractions_of_the_split_and_of_an_epoch() -> None:
    """The split has a ratio of 3 to 1; the epoch, twice as long, one of 1 to 1."""
    image = without_legend(sampler_bars(np.array([300, 100]), np.array([400, 400]), ["1", "2"], title=""))
    natural, sampled = bar_lengths(image, PALE), bar_lengths(image, DARK)
    assert gray_of(PALE) - gray_of(DARK) > 0.3
    assert natural[0] / natural[1] == pytest.approx(3, rel=0.05)
    assert sampled[0] == pytest.approx(sampled[1], rel=0.05)
    assert sampled[0] == pytest.approx(2 * natural[1], rel=0.05)


def test_bars_of_equal_fractions_end_at_the_line_even_with_absent_classes() -> None:
    counts_K = np.array([50, 50, 0, 50])
    image = without_legend(sampler_bars(counts_K, counts_K, ["1", "2", "3", "4"], title=""))
    line = np.median(np.nonzero(is_color(image, RED, within=60))[1])
    bars = np.nonzero(is_color(image, DARK))[1]
    assert line == pytest.approx(bars.max(), abs=3)
