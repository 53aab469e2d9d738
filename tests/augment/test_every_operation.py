"""What holds for each operation: its range, no change without strength, and the generator as its only randomness."""

from collections.abc import Callable

import pytest
import torch
from helpers.augment_pictures import generator, noise, smooth
from torchvision.transforms import v2

from jersey.augment.base import Augment, Augmentation
from jersey.augment.blur import Blur, LowResolution, MotionBlur
from jersey.augment.color import Colour, Hue, Noise
from jersey.augment.erasing import Erasing
from jersey.augment.geometry import Geometry
from jersey.augment.jpeg import Jpeg
from jersey.augment.per_sample import PerSample
from jersey.core.errors import UserError

STRONG: dict[str, Callable[[], Augmentation]] = {
    "geometry": lambda: Geometry(rotation_deg=30, shear_deg=20, scale=0.3, shift=0.2, perspective=0.3),
    "colour": lambda: Colour(brightness=0.4, contrast=0.4, saturation=0.4, swap=0.5),
    "noise": lambda: Noise(std=0.1),
    "hue": lambda: Hue(turn=0.5),
    "blur": lambda: Blur(sigma_px=3),
    "motion blur": lambda: MotionBlur(length_px=9),
    "low resolution": lambda: LowResolution(factor=4),
    "jpeg": lambda: Jpeg(quality=5),
    "erasing": lambda: Erasing(area=0.5),
    "per sample": lambda: PerSample(v2.RandAugment(num_ops=3)),
}
WITH_CHANCE: dict[str, Callable[[float], Augmentation]] = {
    "blur": lambda p: Blur(sigma_px=3, p=p),
    "motion blur": lambda p: MotionBlur(length_px=9, p=p),
    "low resolution": lambda p: LowResolution(factor=4, p=p),
    "jpeg": lambda p: Jpeg(quality=5, p=p),
    "erasing": lambda p: Erasing(area=0.5, p=p),
}
WITHOUT_STRENGTH: dict[str, Augmentation] = {
    "geometry": Geometry(),
    "colour": Colour(),
    "noise": Noise(std=0),
    "hue": Hue(turn=0),
    "blur": Blur(sigma_px=0),
    "motion blur": MotionBlur(length_px=0),
    "low resolution": LowResolution(factor=1),
    "erasing": Erasing(area=0),
    "per sample": PerSample(v2.Identity()),
    **{f"{name}, never": make(0.0) for name, make in WITH_CHANCE.items()},
}
SIZES = [(8, 21), (33, 20)]

of_each = pytest.mark.parametrize("name", STRONG)


@of_each
@pytest.mark.parametrize("size", SIZES)
def test_it_keeps_shape_type_and_range_and_its_input(name: str, size: tuple[int, int]) -> None:
    images_BCHW = (noise(3, 3, *size) * 256).to(torch.uint8)
    kept_BCHW = images_BCHW.clone()
    augmented_BCHW = Augment(only=STRONG[name]())(images_BCHW, generator())
    assert augmented_BCHW.shape == images_BCHW.shape
    assert augmented_BCHW.dtype == torch.float32
    assert augmented_BCHW.isfinite().all()
    assert 0 <= augmented_BCHW.min() <= augmented_BCHW.max() <= 255
    assert not torch.allclose(augmented_BCHW, images_BCHW.float(), atol=2)
    assert torch.equal(images_BCHW, kept_BCHW)


@of_each
@pytest.mark.parametrize("batch", [0, 1])
def test_any_number_of_crops(name: str, batch: int) -> None:
    images_BCHW = torch.zeros(batch, 3, 20, 16, dtype=torch.uint8)
    assert Augment(only=STRONG[name]())(images_BCHW, generator()).shape == images_BCHW.shape


@pytest.mark.parametrize("name", WITHOUT_STRENGTH)
@pytest.mark.parametrize("size", SIZES)
def test_without_strength_nothing_changes(name: str, size: tuple[int, int]) -> None:
    images_BCHW = (noise(3, 3, *size) * 256).to(torch.uint8)
    unchanged_BCHW = Augment(only=WITHOUT_STRENGTH[name])(images_BCHW, generator())
    torch.testing.assert_close(unchanged_BCHW, images_BCHW.float(), atol=0.02, rtol=0)


@of_each
def test_the_generator_alone_decides_and_torchs_own_randomness_is_left_alone(name: str) -> None:
    images_BCHW = (smooth(4, 24, 32) * 255).to(torch.uint8)
    augment = Augment(only=STRONG[name]())
    torch.manual_seed(0)
    first_BCHW = augment(images_BCHW, generator(7))
    after_it = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), after_it)
    assert torch.equal(augment(images_BCHW, generator(7)), first_BCHW)
    assert not torch.equal(augment(images_BCHW, generator(8)), first_BCHW)


@of_each
def test_a_crop_is_changed_alike_whatever_its_neighbours_hold(name: str) -> None:
    images_BCHW = smooth(6, 24, 32)
    others_BCHW = images_BCHW.flip(0).contiguous()
    others_BCHW[3] = images_BCHW[3]
    first_BCHW, second_BCHW = (STRONG[name]()(each, generator()) for each in (images_BCHW, others_BCHW))
    torch.testing.assert_close(first_BCHW[3], second_BCHW[3], atol=1e-5, rtol=0)
    assert not torch.allclose(first_BCHW[1], second_BCHW[1], atol=0.01)


@of_each
def test_equal_crops_are_changed_differently(name: str) -> None:
    images_BCHW = smooth(1, 32, 32).expand(8, -1, -1, -1).contiguous()
    apart = torch.pdist(STRONG[name]()(images_BCHW, generator()).flatten(1))
    assert (apart > 0.01).float().mean() > 0.9


@pytest.mark.parametrize("name", WITH_CHANCE)
def test_p_is_the_share_of_crops_that_are_changed(name: str) -> None:
    images_BCHW = noise(400, 3, 16, 16)
    change_B = (WITH_CHANCE[name](0.3)(images_BCHW, generator()) - images_BCHW).abs().amax(dim=(1, 2, 3))
    # A twentieth may be changed too little to see.
    assert 0.21 < (change_B > 0.01).float().mean() < 0.37


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Hue(turn=0.6), "Hue has turn=0.6"),
        (lambda: Blur(sigma_px=-1), "Blur has sigma_px=-1; give a value of at least 0"),
        (lambda: Blur(sigma_px=1, p=1.5), "Blur has p=1.5; give a value from 0 to 1"),
        (lambda: MotionBlur(length_px=float("nan")), "MotionBlur has length_px=nan"),
        (lambda: LowResolution(factor=0.5), "LowResolution has factor=0.5"),
        (lambda: Jpeg(quality=0), "Jpeg has quality=0"),
        (lambda: Erasing(area=1.2), "Erasing has area=1.2"),
    ],
)
def test_an_impossible_strength_is_refused(make: Callable[[], Augmentation], named: str) -> None:
    with pytest.raises(UserError, match=named):
        make()


@pytest.mark.parametrize("name", ["geometry", "colour"])
def test_autocast_does_not_coarsen_the_arithmetic(name: str) -> None:
    """The training step runs in autocast, whose 8-bit products would move sampling points by half a pixel at 224."""
    images_BCHW = (noise(4, 3, 64, 64) * 256).to(torch.uint8)
    augment = Augment(only=STRONG[name]())
    exact_BCHW = augment(images_BCHW, generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(augment(images_BCHW, generator()), exact_BCHW)


@pytest.mark.gpu
@of_each
def test_on_a_gpu_it_does_the_same_without_waiting(name: str) -> None:
    if name == "per sample":
        pytest.skip("waits once a batch, as it says")
    images_BCHW = torch.rand(8, 3, 64, 48, device="cuda")
    operation = STRONG[name]()
    operation(images_BCHW, torch.Generator("cuda").manual_seed(0))
    torch.cuda.set_sync_debug_mode("error")
    try:
        augmented_BCHW = operation(images_BCHW, torch.Generator("cuda").manual_seed(0))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert augmented_BCHW.is_cuda
    assert augmented_BCHW.shape == images_BCHW.shape
