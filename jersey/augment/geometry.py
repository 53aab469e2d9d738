"""Rotates, shears, scales, tilts and shifts crops.

Shapes: B batch, C channels (3), H W size, P pixels. Images are float in [0, 1].
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from jersey.augment.base import Augmentation, uniform
from jersey.core.errors import UserError


@dataclass(eq=False, kw_only=True)
class Geometry(Augmentation):
    """Rotates, shears, scales, tilts and shifts crops in one bilinear resampling with mirrored borders.

    Every setting is the half-width of a uniform range around "no change".

    Attributes:
        rotation_deg: angle in degrees.
        shear_deg: angles in degrees, below 45, along x and along y.
        scale: 0.15 means a factor from 1/1.15 to 1.15, log-uniform, and another such factor for the aspect ratio.
        shift: fraction of the width and of the height.
        perspective: relative magnification of a side against the center, below 0.5, along x and along y.
    """

    rotation_deg: float = 0.0
    shear_deg: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    perspective: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (abs(self.shear_deg) < 45 and abs(self.perspective) < 0.5):
            raise UserError(
                f"module.augment.geometry has shear_deg={self.shear_deg} and perspective={self.perspective}, "
                "which would mirror parts of a crop; keep them below 45 and 0.5"
            )

    def sample_homographies(self, batch: int, generator: Generator, *, aspect_ratio: float = 1.0) -> Tensor:
        """Samples homographies [B,3,3] from output to input coordinates, both x, y in [-1, 1].

        Args:
            batch: number of homographies, B.
            generator: generator on the device of the result.
            aspect_ratio: width / height of the images, with which a rotation is one in pixels.
        """
        angle, shear_x, shear_y, size, aspect, x, y, tilt_x, tilt_y = uniform((9, batch), -1, 1, generator)
        angle = angle * math.radians(self.rotation_deg)
        shear_x, shear_y = (torch.tan(s * math.radians(self.shear_deg)) for s in (shear_x, shear_y))
        log_scale = math.log1p(self.scale)
        scale_x = torch.exp(log_scale * (size + aspect / 2))
        scale_y = torch.exp(log_scale * (size - aspect / 2))
        cos, sin = torch.cos(angle), torch.sin(angle)
        # Rotation times shear, scaled; the last column shifts, and the last row tilts.
        rows = [
            [scale_x * (cos - sin * shear_y), scale_x * (cos * shear_x - sin) / aspect_ratio, 2 * self.shift * x],
            [scale_y * (sin + cos * shear_y) * aspect_ratio, scale_y * (sin * shear_x + cos), 2 * self.shift * y],
            [self.perspective * tilt_x, self.perspective * tilt_y, torch.ones_like(x)],
        ]
        return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        batch, _, height, width = images_BCHW.shape
        return warp(images_BCHW, self.sample_homographies(batch, generator, aspect_ratio=width / height))


def warp(images_BCHW: Tensor, homographies_B33: Tensor) -> Tensor:
    """Resamples each image through its homography (from output to input, x and y in [-1, 1]), with mirrored borders."""
    grid_BHW2 = project_grid(homographies_B33, size_px=images_BCHW.shape[2:])
    return F.grid_sample(images_BCHW, grid_BHW2, mode="bilinear", padding_mode="reflection", align_corners=False)


def project_grid(homographies_B33: Tensor, *, size_px: Sequence[int]) -> Tensor:
    """Returns the positions x, y [B,H,W,2] to which each homography maps the pixel centers; `size_px` is (H, W)."""
    height, width = size_px
    identity_123 = torch.eye(2, 3, device=homographies_B33.device)[None]
    grid_HW2 = F.affine_grid(identity_123, [1, 1, height, width], align_corners=False)[0]
    points_HW3 = torch.cat([grid_HW2, torch.ones_like(grid_HW2[..., :1])], dim=-1)
    projected_BP3 = points_HW3.reshape(1, -1, 3) @ homographies_B33.mT
    return (projected_BP3[..., :2] / projected_BP3[..., 2:]).reshape(-1, height, width, 2)
