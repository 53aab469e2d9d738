"""Properties of every operation: output range, no change at zero strength, randomness from the generator only."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.augment_images import generator, noise, smooth
from torchvision.transforms import v2

from jersey.augment.base import Augment, Augmentation
from jersey.augment.blur import Blur, MotionBlur, RandomDownscale
from jersey.augment.color import Color, Hue, Noise
from jersey.augment.erasing import RandomErasing
from jersey.augment.geometry import Geometry
from jersey.augment.jpeg import RandomJPEG
from jersey.augment.magnitude import magnitudes
from jersey.augment.per_sample import PerSample
from jersey.core.errors import UserError

# Settings of each operation for a strong change, a weak change, and no change.
OPERATIONS: dict[type[Augmentation], tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    Geometry: (
        {"rotation_deg": 30, "shear_deg": 20, "scale": 0.3, "shift": 0.2, "perspective": 0.3},
        {"rotation_deg": 5},
        {},
    ),
    Color: ({"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "channel_swap_p": 0.5}, {"brightness": 0.1}, {}),
    Noise: ({"std": 0.1}, {"std": 0.02}, {"std": 0}),
    Hue: ({"max_shift": 0.5}, {"max_shift": 0.05}, {"max_shift": 0}),
    Blur: ({"sigma_px": 3}, {"sigma_px": 0.8}, {"sigma_px": 0}),
    MotionBlur: ({"length_px": 9}, {"length_px": 3}, {"length_px": 0}),
    RandomDownscale: ({"factor": 4}, {"factor": 1.5}, {"factor": 1}),
    RandomJPEG: ({"quality": 5}, {"quality": 80}, {"quality": 5, "p": 0}),
    RandomErasing: ({"area": 0.5}, {"area": 0.05, "p": 0.5}, {"area": 0}),
    PerSample: (
        {"transform": v2.RandAugment(num_ops=3)},
        {"transform": v2.ColorJitter(0.1)},
        {"transform": v2.Identity()},
    ),
}
WITH_P = (Blur, MotionBlur, RandomDownscale, RandomJPEG, RandomErasing)
NOTHING = [(kind, settings[2]) for kind, settings in OPERATIONS.items()]
NOTHING += [(kind, OPERATIONS[kind][0] | {"p": 0}) for kind in WITH_P]
SIZES = [(8, 21), (33, 20)]

of_each = pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.__name__)


def strong(kind: type[Augmentation], **more: Any) -> Augmentation:
    return kind(**OPERATIONS[kind][0] | more)


def random_images(batch: int, size: tuple[int, int]) -> torch.Tensor:
    return (noise(batch, 3, *size) * 256).to(torch.uint8)


@of_each
@pytest.mark.parametrize("size", SIZES)
def test_shape_range_and_input_are_kept_for_any_number_of_crops(
    kind: type[Augmentation], size: tuple[int, int]
) -> None:
    augment = Augment(only=strong(kind))
    for batch in (0, 1, 3):
        images_BCHW = random_images(batch, size)
        kept_BCHW = images_BCHW.clone()
        augmented_BCHW = augment(images_BCHW, generator())
        assert augmented_BCHW.shape == images_BCHW.shape
        assert augmented_BCHW.dtype == torch.float32
        assert augmented_BCHW.isfinite().all()
        assert ((augmented_BCHW >= 0) & (augmented_BCHW <= 255)).all()
        assert torch.equal(images_BCHW, kept_BCHW)
    assert not torch.allclose(augmented_BCHW, images_BCHW.float(), atol=2)


@pytest.mark.parametrize(("kind", "settings"), NOTHING)
@pytest.mark.parametrize("size", SIZES)
def test_zero_strength_changes_nothing(
    kind: type[Augmentation], settings: dict[str, Any], size: tuple[int, int]
) -> None:
    images_BCHW = random_images(3, size)
    unchanged_BCHW = Augment(only=kind(**settings))(images_BCHW, generator())
    torch.testing.assert_close(unchanged_BCHW, images_BCHW.float(), atol=0.02, rtol=0)


@of_each
def test_every_operation_changes_crops_and_a_stronger_one_changes_more(kind: type[Augmentation]) -> None:
    strong_change, change, none = (magnitudes(Augment(only=kind(**each)))["only"].change for each in OPERATIONS[kind])
    assert strong_change * 0.9 > change > 0.3 > 0.02 > none


@of_each
def test_the_generator_is_the_only_randomness_and_torchs_global_state_is_untouched(kind: type[Augmentation]) -> None:
    images_BCHW = (smooth(4, 24, 32) * 255).to(torch.uint8)
    augment = Augment(only=strong(kind))
    torch.manual_seed(0)
    first_BCHW = augment(images_BCHW, generator(7))
    sampled_after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), sampled_after)
    assert torch.equal(augment(images_BCHW, generator(7)), first_BCHW)
    assert not torch.equal(augment(images_BCHW, generator(8)), first_BCHW)


@of_each
def test_the_change_of_a_crop_does_not_depend_on_its_neighbors(kind: type[Augmentation]) -> None:
    images_BCHW = smooth(6, 24, 32)
    others_BCHW = images_BCHW.flip(0).contiguous()
    others_BCHW[3] = images_BCHW[3]
    first_BCHW, second_BCHW = (strong(kind)(each, generator()) for each in (images_BCHW, others_BCHW))
    torch.testing.assert_close(first_BCHW[3], second_BCHW[3], atol=1e-5, rtol=0)
    assert not torch.allclose(first_BCHW[1], second_BCHW[1], atol=0.01)


@of_each
def test_equal_crops_are_changed_differently(kind: type[Augmentation]) -> None:
    images_BCHW = smooth(1, 32, 32).expand(8, -1, -1, -1).contiguous()
    apart = torch.pdist(strong(kind)(images_BCHW, generator()).flatten(1))
    assert (apart > 0.01).float().mean() > 0.9


@pytest.mark.parametrize("kind", WITH_P)
def test_p_is_the_fraction_of_crops_that_are_changed(kind: type[Augmentation]) -> None:
    images_BCHW = noise(400, 3, 16, 16)
    change_B = (strong(kind, p=0.3)(images_BCHW, generator()) - images_BCHW).abs().amax(dim=(1, 2, 3))
    # A twentieth may be changed too little to be detected.
    assert 0.21 < (change_B > 0.01).float().mean() < 0.37


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Hue(max_shift=0.6), "Hue has max_shift=0.6"),
        (lambda: Blur(sigma_px=-1), "Blur has sigma_px=-1; set a value of at least 0"),
        (lambda: Blur(sigma_px=1, p=1.5), "Blur has p=1.5; set a value from 0 to 1"),
        (lambda: MotionBlur(length_px=float("nan")), "MotionBlur has length_px=nan"),
        (lambda: RandomDownscale(factor=0.5), "RandomDownscale has factor=0.5"),
        (lambda: RandomJPEG(quality=0), "RandomJPEG has quality=0"),
        (lambda: RandomErasing(area=1.2), "RandomErasing has area=1.2"),
    ],
)
def test_a_setting_out_of_range_raises_an_error(make: Callable[[], Augmentation], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize("kind", [Geometry, Color])
def test_autocast_does_not_reduce_the_precision(kind: type[Augmentation]) -> None:
    """The training step runs in autocast, whose 8-bit products would move sampling points by half a pixel at 224."""
    images_BCHW, augment = random_images(4, (64, 64)), Augment(only=strong(kind))
    exact_BCHW = augment(images_BCHW, generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(augment(images_BCHW, generator()), exact_BCHW)


@pytest.mark.gpu
@of_each
def test_operations_on_a_gpu_do_not_synchronize(kind: type[Augmentation]) -> None:
    if kind is PerSample:
        pytest.skip("waits once per batch, as documented")
    images_BCHW, operation = torch.rand(8, 3, 64, 48, device="cuda"), strong(kind)
    operation(images_BCHW, torch.Generator("cuda").manual_seed(0))
    torch.cuda.set_sync_debug_mode("error")
    try:
        augmented_BCHW = operation(images_BCHW, torch.Generator("cuda").manual_seed(0))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert augmented_BCHW.is_cuda
    assert augmented_BCHW.shape == images_BCHW.shape


@pytest.mark.gpu
@of_each
def test_operations_on_a_gpu_equal_those_on_the_cpu(kind: type[Augmentation], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both get the random numbers of the CPU. Rounding may move a coefficient of a JPEG or the edge of a rectangle."""
    if kind is PerSample:
        pytest.skip("runs torchvision's transforms, which use torch's own generator of the CPU")
    images_BCHW, operation = smooth(8, 64, 48), strong(kind)
    expected_BCHW, numbers = operation(images_BCHW, generator()), generator()

    def from_cpu(sample: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def sampled(*shape: Any, generator: torch.Generator, device: torch.device) -> torch.Tensor:
            return sample(*shape, generator=numbers).to(device)

        return sampled

    for name in ("rand", "randn"):
        monkeypatch.setattr(torch, name, from_cpu(getattr(torch, name)))
    differences_BCHW = (operation(images_BCHW.cuda(), torch.Generator("cuda")).cpu() - expected_BCHW).abs()
    assert (differences_BCHW > 2e-3).float().mean() < 0.01
