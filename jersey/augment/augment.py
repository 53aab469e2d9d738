"""Augmentation of whole batches on the device, every crop with its own random parameters.

Only the training step calls this, and the sample grid to show it. All randomness comes from the generator it hands
over, so what happens to a batch is a function of (seed, epoch, batch), on any number of workers.

Here are the frame and what every pipeline has: geometry, colour, noise; a module beside this one holds each other
operation. None of them mirrors (2 and 5 would swap) or crops hard (12 would become 1);
`jersey.evaluation.label_preservation` measures what a pipeline does to numbers.

Shapes: B batch, C channels (3), H W size. Images are float in [0, 1] between the operations.
"""

import math
from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from jersey.core.errors import UserError


class Augmentation(nn.Module):
    """One random operation: images_BCHW float in [0, 1] and a generator on their device, to images of that shape.

    What comes out is the caller's to change, and may be what came in.
    """

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        raise NotImplementedError


class Augment(nn.Module):
    """Named operations in order: uint8 [B,3,H,W] to float [B,3,H,W] in 0..255, what `Network` takes.

    Args:
        operations: by name, so that a config can reach `module.augment.geometry.rotation_deg`; None leaves one out.
    """

    def __init__(self, **operations: Augmentation | None) -> None:
        super().__init__()
        self.operations = nn.ModuleDict({name: each for name, each in operations.items() if each is not None})

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        # Autocast would round the sampling points of `warp` to 8 bits, half a pixel at 224.
        with torch.autocast(images_BCHW.device.type, enabled=False):
            # In place where it is our own: on a CPU fresh memory takes longer than the arithmetic.
            images = images_BCHW.float().div_(255)
            for operation in self.operations.values():
                images = operation(images, generator).clamp_(0, 1)
            return images.mul_(255)


def uniform(shape: Sequence[int], low: float, high: float, generator: Generator) -> Tensor:
    """Uniform numbers on the generator's device."""
    return torch.rand(tuple(shape), generator=generator, device=generator.device) * (high - low) + low


def chosen(batch: int, p: float, generator: Generator) -> Tensor:
    """Which crops of a batch an operation with probability `p` changes, bool [B]."""
    return torch.rand(batch, generator=generator, device=generator.device) < p


def require(operation: str, **settings: tuple[float, float, float]) -> None:
    """Raises UserError for a setting outside of its range; each is given as (value, least, most)."""
    for name, (value, least, most) in settings.items():
        if not least <= value <= most:
            allowed = f"of at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
            raise UserError(f"{operation} has {name}={value}; give a value {allowed}")


class Geometry(Augmentation):
    """Rotation, shear, scale, perspective and shift, in one bilinear resampling with mirrored borders.

    Every parameter is the half-width of a uniform range around "no change".

    Args:
        rotation_deg: degrees.
        shear_deg: degrees below 45, along x and along y.
        scale: 0.15 means a factor between 1/1.15 and 1.15, log-uniform, and another such factor for the aspect ratio.
        shift: share of the width and of the height.
        perspective: below 0.5; a side is magnified by up to 1 + perspective against the centre, along x and along y.

    Raises:
        UserError: a shear or perspective so strong that parts of the crop would come out mirrored.
    """

    def __init__(
        self,
        *,
        rotation_deg: float = 0.0,
        shear_deg: float = 0.0,
        scale: float = 0.0,
        shift: float = 0.0,
        perspective: float = 0.0,
    ) -> None:
        super().__init__()
        if not (abs(shear_deg) < 45 and abs(perspective) < 0.5):
            raise UserError(
                f"module.augment.geometry has shear_deg={shear_deg} and perspective={perspective}, which would mirror "
                "parts of a crop; keep them below 45 and 0.5"
            )
        self.rotation_deg = rotation_deg
        self.shear_deg = shear_deg
        self.scale = scale
        self.shift = shift
        self.perspective = perspective

    def draw(self, batch: int, generator: Generator, *, aspect_ratio: float = 1.0) -> Tensor:
        """Homographies [B,3,3] from output to input coordinates, both x, y in [-1, 1].

        Args:
            batch: B.
            generator: on the device of the result.
            aspect_ratio: width / height of the images, so that a rotation stays one in pixels.
        """
        angle, shear_x, shear_y, size, aspect, x, y, tilt_x, tilt_y = uniform((9, batch), -1, 1, generator)
        angle = angle * math.radians(self.rotation_deg)
        shear_x, shear_y = (torch.tan(s * math.radians(self.shear_deg)) for s in (shear_x, shear_y))
        log_scale = math.log1p(self.scale)
        scale_x = torch.exp(log_scale * (size + aspect / 2))
        scale_y = torch.exp(log_scale * (size - aspect / 2))
        cos, sin = torch.cos(angle), torch.sin(angle)
        rows = [
            [scale_x * (cos - sin * shear_y), scale_x * (cos * shear_x - sin) / aspect_ratio, 2 * self.shift * x],
            [scale_y * (sin + cos * shear_y) * aspect_ratio, scale_y * (sin * shear_x + cos), 2 * self.shift * y],
            [self.perspective * tilt_x, self.perspective * tilt_y, torch.ones_like(x)],
        ]
        return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        batch, _, height, width = images_BCHW.shape
        return warp(images_BCHW, self.draw(batch, generator, aspect_ratio=width / height))


def warp(images_BCHW: Tensor, homographies_B33: Tensor) -> Tensor:
    """Resamples each image at its homography's points (output to input, x and y in [-1, 1], borders mirrored)."""
    grid_BHW2 = project_grid(homographies_B33, size_px=images_BCHW.shape[2:])
    return F.grid_sample(images_BCHW, grid_BHW2, mode="bilinear", padding_mode="reflection", align_corners=False)


def project_grid(homographies_B33: Tensor, *, size_px: Sequence[int]) -> Tensor:
    """Where each homography takes the centres of the pixels of an image of `size_px`: x and y, [B,H,W,2]."""
    height, width = size_px
    identity_123 = torch.eye(2, 3, device=homographies_B33.device)[None]
    grid_HW2 = F.affine_grid(identity_123, [1, 1, height, width], align_corners=False)[0]
    points_HW3 = torch.cat([grid_HW2, torch.ones_like(grid_HW2[..., :1])], dim=-1)
    projected_BP3 = points_HW3.reshape(1, -1, 3) @ homographies_B33.mT
    return (projected_BP3[..., :2] / projected_BP3[..., 2:]).reshape(-1, height, width, 2)


class Colour(Augmentation):
    """Brightness, contrast, saturation, and number and cloth in other colours: one 3x3 matrix and offset a crop.

    Args:
        brightness: half-width of the uniform range around a factor of 1.
        contrast: likewise, around the crop's mean luminance.
        saturation: likewise, around the pixel's luminance.
        swap: probability that a crop's channels are put in a random order, and, separately, that it is inverted.
            Numbers come in every pair of colours; shape is what carries the label.
    """

    def __init__(
        self, *, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0, swap: float = 0.0
    ) -> None:
        super().__init__()
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.swap = swap

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        batch, device = len(images_BCHW), images_BCHW.device
        factors = uniform((3, batch, 1, 1), -1, 1, generator)
        brightness_B11, contrast_B11, saturation_B11 = (
            1 + width * factor
            for width, factor in zip((self.brightness, self.contrast, self.saturation), factors, strict=True)
        )
        eye_33 = torch.eye(3, device=device)
        luminance_13 = _luminance(device)
        # Saturation mixes each pixel with its own luminance, contrast with the crop's mean luminance.
        matrix_B33 = saturation_B11 * eye_33 + (1 - saturation_B11) * luminance_13.expand(3, 3)
        mean_B11 = luminance_13 @ images_BCHW.mean(dim=(2, 3))[..., None]
        matrix_B33 = brightness_B11 * contrast_B11 * matrix_B33
        offset_B31 = brightness_B11 * (1 - contrast_B11) * mean_B11.expand(batch, 3, 1)

        order_B3 = torch.rand((batch, 3), generator=generator, device=device).argsort(dim=1)
        swapped_B11, inverted_B11 = torch.rand((2, batch, 1, 1), generator=generator, device=device) < self.swap
        matrix_B33 = torch.where(swapped_B11, eye_33[order_B3] @ matrix_B33, matrix_B33)
        matrix_B33 = torch.where(inverted_B11, -matrix_B33, matrix_B33)
        offset_B31 = torch.where(inverted_B11, 1 - offset_B31, offset_B31)
        return torch.baddbmm(offset_B31, matrix_B33, images_BCHW.flatten(2)).view_as(images_BCHW)


@cache
def _luminance(device: torch.device) -> Tensor:
    """Weights of the channels [1,3]; copied once, as every copy from the host waits for the device."""
    return torch.tensor([[0.299, 0.587, 0.114]], device=device)


class Noise(Augmentation):
    """Gaussian sensor noise, its standard deviation uniform in [0, std] for each crop, on the 0..1 scale."""

    def __init__(self, *, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        std_B111 = uniform((len(images_BCHW), 1, 1, 1), 0, self.std, generator)
        noise_BCHW = torch.randn(images_BCHW.shape, generator=generator, device=images_BCHW.device)
        return noise_BCHW.mul_(std_B111).add_(images_BCHW)
