"""Text and pixels of a sheet are complete in its image, at their positions."""

import numpy as np
import pytest
from helpers.pictures import assert_nothing_touches_the_border
from PIL import Image, ImageDraw

from jersey.plots.canvas import MARGIN_PX, Edge, Sheet, width_px
from jersey.synth.typefaces import FontTypeface


def ink_box(image: Image.Image) -> tuple[int, int, int, int]:
    """Returns the first and last row and column that are not white."""
    is_ink_HW = np.asarray(image.convert("L")) < 200
    rows, columns = np.flatnonzero(is_ink_HW.any(axis=1)), np.flatnonzero(is_ink_HW.any(axis=0))
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


@pytest.mark.parametrize("at", ["left", "bottom"])
@pytest.mark.parametrize("is_upright", [False, True])
@pytest.mark.parametrize("words", ["illegible $\\frac$", "ÄÅǺ gjy", "٢٣", "Q" * 300])
def test_words_are_never_cut_off(words: str, is_upright: bool, at: Edge) -> None:
    sheet = Sheet()
    sheet.write(words, -1234.5, 77, at=at, is_upright=is_upright)
    image = sheet.rendered()
    assert_nothing_touches_the_border(image, margin_px=MARGIN_PX)
    pixels_HW = np.asarray(image.convert("L"))
    roomy = Image.new("L", (5000, 200), "white")
    ImageDraw.Draw(roomy).text((100, 100), words, fill="black", font=FontTypeface("DejaVuSans").font(13))
    turned = roomy.transpose(Image.Transpose.ROTATE_90) if is_upright else roomy
    assert (pixels_HW < 255).sum() == (np.asarray(turned) < 255).sum(), "all of the ink"


def test_pixels_are_at_their_positions() -> None:
    sheet = Sheet()
    sheet.fill("black", -10, -20, 4, 6)
    sheet.fill("red", 90, 80, 10, 20)
    image = sheet.rendered()
    assert image.size == (110 + 2 * MARGIN_PX, 120 + 2 * MARGIN_PX)
    pixels_HW3 = np.asarray(image)
    assert (pixels_HW3[MARGIN_PX : MARGIN_PX + 6, MARGIN_PX : MARGIN_PX + 4] == 0).all()
    assert (pixels_HW3[MARGIN_PX + 100 : MARGIN_PX + 120, MARGIN_PX + 100 : MARGIN_PX + 110] == (255, 0, 0)).all()
    assert (pixels_HW3 != 255).any(axis=2).sum() == 4 * 6 + 10 * 20


@pytest.mark.parametrize(
    ("at", "x_fractions", "y_fractions"),
    [("left", (1, 0), (0.5, 0.5)), ("right", (0, 1), (0.5, 0.5)), ("top", (0.5, 0.5), (1, 0)),
     ("bottom", (0.5, 0.5), (0, 1)), ("middle", (0.5, 0.5), (0.5, 0.5))],
)  # fmt: skip
def test_the_named_edge_is_at_the_point(
    at: Edge, x_fractions: tuple[float, float], y_fractions: tuple[float, float]
) -> None:
    """Checks the fractions of ink after and before the point 200, 200; the corners of a white square fix the origin."""
    sheet = Sheet()
    for corner in (0, 399):
        sheet.fill("white", corner, corner, 1, 1)
    sheet.write("HHHH", 200, 200, at=at, size_px=40)
    top, bottom, left, right = (edge - MARGIN_PX - 200 for edge in ink_box(sheet.rendered()))
    assert right / (right - left) == pytest.approx(x_fractions[0], abs=0.05)
    # A line has room above and below its capitals.
    assert bottom / (bottom - top) == pytest.approx(y_fractions[0], abs=0.4)
    assert (bottom > 0, top < 0) == tuple(fraction > 0 for fraction in y_fractions)


def test_width_px_is_the_width_of_the_rendered_text() -> None:
    sheet = Sheet()
    sheet.write("100 % of 41", 0, 0, at="left")
    assert sheet.rendered().width == width_px("100 % of 41") + 2 * MARGIN_PX
    assert width_px("11111") > width_px("1111")


def test_upright_text_is_rotated_by_90_degrees() -> None:
    level, upright = Sheet(), Sheet()
    level.write("true label", 0, 0, at="middle")
    upright.write("true label", 0, 0, at="middle", is_upright=True)
    turned = level.rendered().transpose(Image.Transpose.ROTATE_90)
    assert turned.tobytes() == upright.rendered().tobytes()
