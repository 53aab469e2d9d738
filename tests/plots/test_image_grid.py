"""The grid of crops, checked by its pixels."""

import numpy as np
import pytest
from helpers.pictures import assert_nothing_touches_the_border
from PIL import Image

from jersey.plots.image_grid import Tile, TileSection, heat_overlay, image_grid

RED, GREEN, BLUE = (np.full((48, 48, 3), color, np.uint8) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))


def grid_of(*tiles: Tile, columns: int = 2, title: str = "test") -> np.ndarray:
    return np.asarray(image_grid(title, [TileSection("crops", tiles, out_of=len(tiles))], columns=columns))


def box_of(pixels_HW3: np.ndarray, color: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Returns left, top, right and bottom of the pixels of a color, which must fill the box."""
    is_there_HW = (pixels_HW3 == color).all(axis=2)
    rows, columns = np.flatnonzero(is_there_HW.any(axis=1)), np.flatnonzero(is_there_HW.any(axis=0))
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    assert is_there_HW[top:bottom, left:right].all()
    return int(left), int(top), int(right), int(bottom)


def test_small_crops_are_enlarged_by_an_integer_factor() -> None:
    noise_HW3 = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    pixels_HW3 = grid_of(Tile([RED, noise_HW3], ["23"]))
    left, top, right, bottom = box_of(pixels_HW3, (255, 0, 0))
    factor = (right - left) // 48
    assert factor > 1
    assert (right - left, bottom - top) == (factor * 48, factor * 48)
    beside_HW3 = pixels_HW3[top:bottom, right + 2 : right + 2 + factor * 48]
    np.testing.assert_array_equal(beside_HW3[::factor, ::factor], noise_HW3)


@pytest.mark.parametrize("shape", [(8, 8), (48, 96), (100, 100), (128, 64), (600, 300)])
def test_crops_of_any_size_have_similar_sizes_and_keep_their_aspect_ratio(shape: tuple[int, int]) -> None:
    left, top, right, bottom = box_of(grid_of(Tile([np.full((*shape, 3), (255, 0, 0), np.uint8)], [])), (255, 0, 0))
    assert 70 <= max(right - left, bottom - top) <= 170
    assert (right - left) / (bottom - top) == pytest.approx(shape[1] / shape[0], rel=0.02)


def test_tiles_fill_rows() -> None:
    pixels_HW3 = grid_of(Tile([RED], ["1"]), Tile([GREEN], ["2"]), Tile([BLUE], ["3"]))
    red, green, blue = (box_of(pixels_HW3, color) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
    assert red[1] == green[1] < blue[1]
    assert red[0] == blue[0] < green[0]


def test_a_marked_tile_has_a_dark_frame_that_shifts_no_pixels() -> None:
    plain, marked = (grid_of(Tile([RED], ["1"], is_marked=is_marked)) for is_marked in (False, True))
    left, top, right, bottom = box_of(plain, (255, 0, 0))
    assert box_of(marked, (255, 0, 0)) == (left, top, right, bottom)
    gray_HW = np.asarray(Image.fromarray(marked).convert("L"))
    for y, x in ((top - 3, left), (bottom + 2, left), (top, left - 3), (top, right + 2)):
        assert gray_HW[y, x] < 100
        assert (plain[y, x] == 255).all()


@pytest.mark.parametrize("title", ["t", "a title that is much longer than the few crops below it are wide" * 3])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_nothing_touches_the_border(title: str, count: int) -> None:
    tiles = [Tile([GREEN], ["an endless name " * 40, "W" * 60, "Ünïcødé Ж", ""], is_marked=True)] * count
    assert_nothing_touches_the_border(Image.fromarray(grid_of(*tiles, columns=3, title=title)))


def test_a_long_caption_does_not_reach_into_the_next_tile() -> None:
    pixels_HW3 = grid_of(Tile([RED], ["x" * 400]), Tile([BLUE], [""]))
    left, _, _, bottom = box_of(pixels_HW3, (0, 0, 255))
    assert (pixels_HW3[bottom + 5 :, : left - 4] < 128).any()
    assert (pixels_HW3[bottom + 5 :, left - 4 :] == 255).all()
    assert pixels_HW3.shape[1] < 2 * grid_of(Tile([RED], ["x"]), Tile([BLUE], [""])).shape[1]


def test_headings_have_counts_with_and_without_tiles() -> None:
    """A section without tiles has a heading; those of one and of many crops have different headings."""
    none, one, many = (
        np.asarray(image_grid("t", [TileSection("incorrect", tiles, out_of=out_of)], columns=3))
        for tiles, out_of in (([], 0), ([Tile([RED], [])], 1), ([Tile([RED], [])], 900))
    )
    assert (none < 128).any()
    assert none.shape[0] < one.shape[0]
    assert one.shape != many.shape or (one != many).any()


def test_letters_beyond_ascii_are_rendered_and_differ() -> None:
    images = [grid_of(Tile([RED], [letter])).tobytes() for letter in ("Ü", "Ж", "Ł", "\N{WHITE SQUARE}")]
    assert len(set(images)) == 4


def test_more_heat_is_brighter_in_grayscale_and_without_heat_the_crop_is_visible() -> None:
    ramp_HW = np.tile(np.linspace(0, 1, 48), (48, 1))
    for color in (RED, np.zeros_like(RED), np.full_like(RED, 255)):
        gray_HW = np.asarray(Image.fromarray(heat_overlay(color, ramp_HW)).convert("L")).astype(int)
        assert (np.diff(gray_HW[0]) >= 0).all()
        assert gray_HW[0, -1] - gray_HW[0, 0] > 80
    halves_HW3 = np.repeat(np.uint8([0, 255]), 4)[:, None, None].repeat(3, axis=2)
    cold_HW3 = heat_overlay(halves_HW3, np.zeros((8, 1)))
    assert cold_HW3[-1, 0, 0] > cold_HW3[0, 0, 0] + 100
