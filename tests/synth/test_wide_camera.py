"""The camera of the style "varied": what it changes depends on the height of the digits, so small ones stay legible."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from jersey.synth import camera
from jersey.synth.wide_camera import MIN_DIGIT_PX, degrade, random_view


def picture(size_px: int = 60) -> Image.Image:
    """Returns vertical stripes of 3 pixels on a mid-gray picture, the finest detail of a small digit."""
    columns_W = np.where(np.arange(size_px) // 3 % 2, 80, 180).astype(np.uint8)
    return Image.fromarray(np.tile(columns_W[None, :, None], (size_px, 1, 3)))


def contrast(image: Image.Image) -> float:
    return float(np.asarray(image, dtype=float).mean(axis=(0, 2))[6:-6].std())


class Spies:
    """Replaces functions of `camera`, and keeps the strength of each call, their second argument."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.strengths: dict[str, list[float]] = {name: [] for name in names}
        for name in names:
            monkeypatch.setattr(camera, name, self._spy(name, getattr(camera, name)))

    def _spy(self, name: str, real: Callable) -> Callable:
        def spy(image: Image.Image, strength: float, *args: object) -> Image.Image:
            self.strengths[name].append(strength)
            return real(image, strength, *args)

        return spy


def degraded(
    seed: int, *, digit_height_px: float, size_px: tuple[int, int] = (60, 60), **kwargs: object
) -> Image.Image:
    rng = np.random.default_rng(seed)
    return degrade(picture(), size_px, digit_height_px=digit_height_px, rng=rng, **{"blur": None, **kwargs})


def test_digits_of_the_minimum_height_are_not_blurred_and_tall_ones_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for height_px, is_blurred in ((MIN_DIGIT_PX, False), (MIN_DIGIT_PX - 3, False), (60.0, True)):
        spies = Spies(monkeypatch, "defocus", "motion_blur")
        for seed in range(40):
            degraded(seed, digit_height_px=height_px)
        assert all(len(strengths) > 8 for strengths in spies.strengths.values())
        assert {max(strengths) > 0 for strengths in spies.strengths.values()} == {is_blurred}
        monkeypatch.undo()


def test_the_blur_depends_on_the_height_of_the_digits_in_the_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits that are tall in the picture and small in the crop are not blurred."""
    spies = Spies(monkeypatch, "defocus", "motion_blur")
    for seed in range(40):
        degraded(seed, digit_height_px=4 * MIN_DIGIT_PX, size_px=(15, 15))
    assert {max(strengths) for strengths in spies.strengths.values()} == {0}


def test_noise_and_jpeg_are_weaker_on_small_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    noise, quality = {}, {}
    for height_px in (MIN_DIGIT_PX, 60.0):
        spies, real = Spies(monkeypatch, "noise"), Image.Image.save
        found = quality[height_px] = []

        def save(image, *args, found=found, real=real, **kwargs):
            found.append(kwargs["quality"])
            real(image, *args, **kwargs)

        monkeypatch.setattr(Image.Image, "save", save)
        for seed in range(60):
            degraded(seed, digit_height_px=height_px)
        noise[height_px] = max(spies.strengths["noise"])
        monkeypatch.undo()
    assert noise[60.0] > 1.5 * noise[MIN_DIGIT_PX]
    assert min(quality[60.0]) < 30 < min(quality[MIN_DIGIT_PX])


def test_small_digits_keep_their_contrast() -> None:
    left = [contrast(degraded(seed, digit_height_px=MIN_DIGIT_PX)) / contrast(picture()) for seed in range(60)]
    assert np.quantile(left, 0.05) > 0.2
    assert np.median(left) > 0.5


def test_a_blur_replaces_the_one_that_keeps_digits_legible(monkeypatch: pytest.MonkeyPatch) -> None:
    spies, heights = Spies(monkeypatch, "defocus", "motion_blur"), []

    def flat(image: Image.Image, digit_height_px: float, rng: np.random.Generator) -> Image.Image:
        heights.append(digit_height_px)
        return image.resize((1, 1), Image.Resampling.BOX).resize(image.size)

    crops = [degraded(seed, digit_height_px=33.0, blur=flat) for seed in range(10)]
    assert heights == [33.0] * 10
    assert spies.strengths == {"defocus": [], "motion_blur": []}
    assert max(map(contrast, crops)) < 0.3 * contrast(picture())


@pytest.mark.parametrize("size_px", [(12, 20), (200, 90), (60, 60)])
def test_a_crop_has_the_requested_size_and_its_colors_vary(size_px: tuple[int, int]) -> None:
    crops = [degraded(seed, digit_height_px=30.0, size_px=size_px) for seed in range(30)]
    assert {(crop.size, crop.mode) for crop in crops} == {(size_px, "RGB")}
    means_N3 = np.array([np.asarray(crop, dtype=float).mean(axis=(0, 1)) for crop in crops])
    assert np.ptp(means_N3.mean(axis=1)) > 60, "exposure"
    assert np.ptp(means_N3[:, 0] - means_N3[:, 2]) > 40, "white balance"


def test_views_show_the_middle_of_the_painting_from_mild_to_oblique() -> None:
    tilts, scales = [], []
    for seed in range(200):
        view = random_view(picture_px=100, painting_px=160, rng=np.random.default_rng(seed))
        middle_2, right_2, low_2 = view.to_painting(np.array([(50.0, 50.0), (60.0, 50.0), (50.0, 60.0)]))
        assert middle_2 == pytest.approx((80, 80))
        along, down = right_2 - middle_2, low_2 - middle_2
        tilts.append(np.degrees(np.arctan2(along[1], along[0])))
        scales.append(np.sqrt(abs(np.linalg.det([along, down]))) / 10)
    assert np.median(np.abs(tilts)) < 12
    assert max(np.abs(tilts)) > 18
    assert min(scales) < 0.9
    assert max(scales) > 1.3


def test_degrading_repeats_with_its_generator() -> None:
    first, again, other = (np.asarray(degraded(seed, digit_height_px=20.0)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
