"""Kits and cloth of the style "varied": the number differs from what is beside it, and every pattern appears."""

from itertools import pairwise

import numpy as np
import pytest

from jersey.synth import fabric
from jersey.synth.colors import Color, Kit, luma
from jersey.synth.fabric import is_distinct, random_cloth, random_kit

WHITE, BLACK, GRAY = (255, 255, 255), (0, 0, 0), (128, 128, 128)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (WHITE, BLACK, True),
        (GRAY, GRAY, False),
        (GRAY, (160, 160, 160), False),  # a little brighter
        ((200, 0, 0), (0, 0, 200), True),  # red and blue: little brighter, but of another hue
        ((200, 0, 0), (0, 102, 0), False),  # red and green of equal brightness, as in a gray picture
    ],
)
def test_colors_are_distinct_by_brightness_or_by_less_brightness_and_hue(
    first: Color, second: Color, expected: bool
) -> None:
    assert is_distinct(first, second) == is_distinct(second, first) == expected


def test_colors_that_lie_beside_each_other_on_a_kit_are_distinct() -> None:
    rng = np.random.default_rng(0)
    kits = [random_kit(rng) for _ in range(400)]
    for kit in kits:
        assert is_distinct(kit.cloth, kit.fill)
        assert all(is_distinct(*pair) for pair in pairwise((kit.fill, *kit.outlines)))
    assert {len(kit.outlines) for kit in kits} == {0, 1, 2, 3}
    assert np.ptp([luma(kit.cloth) for kit in kits]) > 200
    assert len({kit.cloth for kit in kits}) > 380


def cloths(seeds: range, *, size_px: int = 40) -> list[tuple[Kit, np.ndarray]]:
    """Returns kits and the RGB pixels [N,3] of their cloth."""
    made = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        kit = random_kit(rng)
        made.append((kit, np.asarray(random_cloth(size_px, size_px, kit, rng)).reshape(-1, 3)))
    return made


def test_the_second_color_of_a_cloth_is_as_distinct_from_the_number_as_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Patterns with hard edges paint no other color; only a gradient passes the colors in between."""
    monkeypatch.setattr(fabric, "_PATTERNS", (fabric._stripes, fabric._checks, fabric._mesh, fabric._halves))
    patterned = 0
    for kit, pixels_N3 in cloths(range(400)):
        found = {tuple(color) for color in pixels_N3.tolist()}
        assert len(found) <= 2
        assert all(is_distinct(color, kit.fill) for color in found), (kit, found)
        patterned += len(found) == 2
    assert 100 < patterned < 300


def test_a_cloth_is_plain_or_has_one_of_all_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    painted = []

    def spied(pattern):
        def paint(*args):
            painted.append(pattern)
            return pattern(*args)

        return paint

    patterns = fabric._PATTERNS
    monkeypatch.setattr(fabric, "_PATTERNS", tuple(map(spied, patterns)))
    made = cloths(range(120))
    assert set(painted) == set(patterns)
    plain = sum((pixels_N3 == pixels_N3[0]).all() for _, pixels_N3 in made)
    assert 30 < len(painted) < 90
    assert plain >= len(made) - len(painted)


@pytest.mark.parametrize("pattern", sorted({pattern.__name__ for pattern in fabric._PATTERNS}))
def test_a_pattern_is_a_square_between_0_and_1_that_changes_with_its_generator(pattern: str) -> None:
    paint = getattr(fabric, pattern)
    made = [np.asarray(paint(120, 200.0, np.random.default_rng(seed)), dtype=float) for seed in range(12)]
    assert {pattern_HW.shape for pattern_HW in made} == {(120, 120)}
    assert all(pattern_HW.min() >= 0 and pattern_HW.max() <= 1 for pattern_HW in made)
    assert len({pattern_HW.tobytes() for pattern_HW in made}) > 8
