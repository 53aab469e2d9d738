"""The training curves, checked by their pixels."""

import math

import numpy as np
import pytest
from helpers.pictures import assert_nothing_touches_the_border, gray_of, is_color
from PIL import Image

from jersey.plots.canvas import DARK, RED
from jersey.plots.training_curves import LOSSES, RATE_STYLES, SCORES, Styles, training_curves


def curves_of(*, epochs: int) -> dict[str, list[tuple[int, float]]]:
    """Returns all curves that can be plotted, falling or rising."""
    falling = [(epoch, 3.0 / (epoch + 1)) for epoch in range(epochs)]
    rising = [(epoch, 1 - 1 / (epoch + 2)) for epoch in range(epochs)]
    scores = {name: rising for name in SCORES if not name.startswith("test")}
    return {"train/loss": falling, "val/loss": falling, "lr/backbone": falling, "lr/head": rising, **scores}


def curve_in(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows and columns of the dark line without the legend."""
    rows, columns = np.nonzero(is_color(image, DARK, within=20))
    is_left = columns < 0.85 * image.width
    return rows[is_left], columns[is_left]


def plain(curves: dict[str, list[tuple[int, float]]], **changed: object) -> Image.Image:
    settings: dict[str, object] = {"test": {}, "best_epoch": None, "title": ""}
    return training_curves(curves, **(settings | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize("epochs", [1, 5, 100])
def test_nothing_touches_the_border(epochs: int) -> None:
    image = training_curves(
        curves_of(epochs=epochs),
        test={"test/loss": 0.5, "test/acc_top1": 0.9},
        best_epoch=epochs - 1,
        title="an experiment of a long name and $\\frac$/" + "20261121-112319 " * 8,
    )
    assert_nothing_touches_the_border(image)


def test_a_single_epoch_is_a_point() -> None:
    rows, columns = curve_in(plain({"val/loss": [(0, 1.0)]}))
    assert 3 < np.ptp(rows) == np.ptp(columns) < 12


def test_panels_without_curves_are_left_out() -> None:
    whole = curves_of(epochs=5)
    heights = [
        plain({name: points for name, points in whole.items() if name.startswith(kinds)}).height
        for kinds in (("val/loss",), ("val/loss", "lr"), ("val/", "lr"))
    ]
    one, two, three = heights
    assert two - one == pytest.approx(three - two, abs=5)
    assert two - one > 100


def test_other_metrics_change_nothing() -> None:
    curves = curves_of(epochs=5)
    assert plain(curves | {"val/ece": [(0, 0.5)], "lrx": [(0, 9.0)]}).tobytes() == plain(curves).tobytes()


def test_the_best_epoch_is_marked_at_its_position() -> None:
    columns = []
    for best_epoch in (0, 2, 4):
        image = plain({"val/acc_top1": [(epoch, 0.5) for epoch in range(5)]}, best_epoch=best_epoch)
        rows, all_columns = np.nonzero(is_color(image, RED, within=20))
        columns.append(np.median(all_columns))
        assert np.ptp(rows) > 0.5 * image.height
        assert image.width > plain({"val/acc_top1": [(0, 0.5)]}).width, "named in the legend"
    assert columns[1] - columns[0] == pytest.approx(columns[2] - columns[1], abs=2)
    assert columns[1] - columns[0] > 100


def test_the_test_score_is_a_line_at_its_height() -> None:
    """It is halfway between the two values of the curve."""
    image = plain({"val/acc_top1": [(0, 0.2), (1, 0.6)]}, test={"test/acc_top1": 0.4})
    rows, _ = curve_in(image)
    is_black_HW = np.asarray(image.convert("L"))[: rows.max(), 100:500] < 60
    dotted = int(is_black_HW.sum(axis=1).argmax())
    assert dotted == pytest.approx((rows.min() + rows.max()) / 2, abs=2)


@pytest.mark.parametrize("name", ["train/loss", "val/acc_top1", "lr"])
@pytest.mark.parametrize("values", [[1.0, math.nan, 0.5], [math.inf, -math.inf], [1.0, 0.5]])
def test_a_value_that_is_not_finite_is_a_cross(name: str, values: list[float]) -> None:
    has_cross = is_color(plain({name: list(enumerate(values))}), RED, within=20).any()
    assert has_cross == (not np.isfinite(values).all())


@pytest.mark.parametrize(
    ("losses", "reason"),
    [
        ((1000.0, 0.1, 10.0), "on a logarithmic scale equal factors are equal steps"),
        ((0.0, 100.0, 50.0), "zero has no logarithm"),
        ((-100.0, 100.0, 0.0), "negative numbers have no logarithm"),
    ],
)
def test_the_last_loss_is_halfway_between_the_others(losses: tuple[float, ...], reason: str) -> None:
    rows, columns = curve_in(plain({"val/loss": list(enumerate(losses))}))
    at_last = rows[columns > columns.max() - 3].mean()
    assert at_last == pytest.approx((rows.min() + rows.max()) / 2, abs=2), reason


@pytest.mark.parametrize("styles", [LOSSES, SCORES, {str(i): style for i, style in enumerate(RATE_STYLES)}])
def test_lines_of_a_panel_differ_in_grayscale(styles: Styles) -> None:
    styles_in_gray = [(style.get("ls", "-"), round(gray_of(style["color"]), 1)) for style in styles.values()]
    assert len(set(styles_in_gray)) == len(styles)
