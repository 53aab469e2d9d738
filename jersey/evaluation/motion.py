"""Estimates how a transformation moved an image, from the positions of light spots before and after it.

Shapes: N crops, K spots, D digits, P points, Q large motions (8), H W size. Points are (x, y) in pixels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_MIN_RELATIVE = 0.25  # pixels below this fraction of the brightest one are compression artifacts around the spot
_MAX_RADIUS = 0.1  # max radius of a spot around its brightest pixel, relative to the side of the image
_STRIDE_PX = 3  # step of the search for the brightest place, which two passes then refine
_ROUNDS = 8  # number of fits, each with the weights that follow from the one before
_TOLERANCE_PX = 0.3  # limits the weight of a spot that agrees exactly
# The ridge keeps the perspective terms at 0 if too few spots are visible to determine them, and hardly changes others.
_RIDGE = (*(1e-5,) * 6, 1e-2, 1e-2)


@dataclass(frozen=True)
class Motion:
    """A projective map of each crop, from old to new positions.

    Attributes:
        homographies_N33: matrices for x and y from -1 to 1 across the image.
        is_determined_N: whether the visible spots determine the map, which they do unless they are on one line.
        size_px: side of the image.
    """

    homographies_N33: Tensor
    is_determined_N: Tensor
    size_px: int

    def __call__(self, points_NDP2: Tensor) -> Tensor:
        """Returns the new positions of points, float [N,D,P,2]."""
        moved = _homogeneous(points_NDP2 / self.size_px * 2 - 1) @ self.homographies_N33[:, None].mT
        return (moved[..., :2] / moved[..., 2:] + 1) * self.size_px / 2

    def without_large_part(self, points_NDP2: Tensor, *, around_N2: Tensor) -> Tensor:
        """Returns the new positions of points if the image is first rotated and mirrored back around a center.

        The map contains the small part (rotation below 45 degrees, scale, shear, shift). So sampling at these points
        undoes that part, while a mirrored or upside-down image stays mirrored or upside down.
        """
        around_N112 = around_N2[:, None, None]
        # Row vectors times an orthogonal matrix are column vectors times its inverse.
        offsets_NDP2 = (points_NDP2 - around_N112) @ self._large_part(around_N112)[:, None]
        return self(offsets_NDP2 + around_N112)

    def _large_part(self, around_N112: Tensor) -> Tensor:
        """Returns the closest of the eight quarter rotations, mirrored or not, to the map around a point, [N,2,2]."""
        steps_N22 = (self(around_N112 + torch.eye(2)) - self(around_N112)).squeeze(1)  # one row per direction
        quarter_22 = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
        rotations = [torch.linalg.matrix_power(quarter_22, count) for count in range(4)]
        mirror_22 = torch.diag(torch.tensor([-1.0, 1.0]))
        large_Q22 = torch.stack([*rotations, *(rotation @ mirror_22 for rotation in rotations)])
        return large_Q22[torch.einsum("nij,qji->nq", steps_N22, large_Q22).argmax(dim=1)]


def motion(before_NKHW: Tensor, after_NKHW: Tensor, *, min_change: float) -> Motion:
    """Returns the map that most spots agree on.

    Args:
        before_NKHW: images with one spot each, and 0 elsewhere.
        after_NKHW: difference that each spot makes in the transformed image.
        min_change: min difference at which a spot is visible.
    """
    size_px = before_NKHW.shape[-1]
    (from_NK2, _), (to_NK2, peak_NK) = locate(before_NKHW), locate(after_NKHW)
    visible_NK = (peak_NK > min_change).float()
    weight_NK1 = visible_NK[..., None] / visible_NK.sum(dim=1).clamp(min=1)[:, None, None]
    center_N12 = (weight_NK1 * from_NK2).sum(dim=1, keepdim=True)
    offset_NK2 = visible_NK[..., None] * (from_NK2 - center_N12)
    # The smaller eigenvalue is the spread across the line that fits the visible spots best.
    is_determined_N = torch.linalg.eigvalsh(offset_NK2.mT @ offset_NK2)[:, 0] > 1
    weight_NK = visible_NK
    for _ in range(_ROUNDS):  # iteratively reweighted least squares, with less weight for spots that disagree
        homographies_N33 = _fit(from_NK2 / size_px * 2 - 1, to_NK2 / size_px * 2 - 1, weight_NK)
        found = Motion(homographies_N33, is_determined_N, size_px)
        error_px_NK = (found(from_NK2[:, None])[:, 0] - to_NK2).norm(dim=-1)
        weight_NK = visible_NK / (error_px_NK + _TOLERANCE_PX)
    return found


def locate(changes_NKHW: Tensor) -> tuple[Tensor, Tensor]:
    """Returns center [N,K,2] and peak [N,K] of the spot in each image.

    Only pixels around the brightest one are used, because reflected borders may show a part of the spot twice.
    """
    flat_NKP = changes_NKHW.flatten(2)
    # A change of the whole image, for example of contrast around its mean, is not part of the spot.
    mass_NKP = (flat_NKP - flat_NKP.median(dim=2, keepdim=True).values).abs()
    peak_NK = mass_NKP.amax(dim=2)
    mass_NKHW = (mass_NKP * (mass_NKP > _MIN_RELATIVE * peak_NK[..., None])).view_as(changes_NKHW)
    width = changes_NKHW.shape[-1]
    coarse_NKhw = F.avg_pool2d(mass_NKHW, 5, stride=_STRIDE_PX, padding=2)
    brightest_NK, columns = coarse_NKhw.flatten(2).argmax(dim=2), coarse_NKhw.shape[-1]
    center_NK2 = torch.stack([brightest_NK % columns, brightest_NK // columns], dim=-1) * _STRIDE_PX + 0.5
    pixels_P = torch.arange(width) + 0.5
    for _ in range(2):  # the second pass is centered on the result of the first
        columns_NKP, rows_NKP = ((pixels_P - center_NK2[..., None]).abs() < _MAX_RADIUS * width).unbind(dim=2)
        near_NKHW = mass_NKHW * rows_NKP[..., None] * columns_NKP[:, :, None]
        total_NK = near_NKHW.sum(dim=(2, 3)).clamp(min=1e-6)
        sums = [(near_NKHW.sum(dim=axis) * pixels_P).sum(dim=2) / total_NK for axis in (2, 3)]
        center_NK2 = torch.stack(sums, dim=-1)
    return center_NK2, peak_NK


def _fit(from_NK2: Tensor, to_NK2: Tensor, weight_NK: Tensor) -> Tensor:
    """Fits homographies [N,3,3] by weighted least squares (the direct linear transformation).

    Each spot leads to two of the E = 2 K equations, which are linear once they are multiplied by the denominator.
    """
    source_NK3, zeros_NK3 = _homogeneous(from_NK2), torch.zeros(*from_NK2.shape[:2], 3)
    rows = [
        torch.cat([*places, -to_NK2[..., axis : axis + 1] * from_NK2], dim=-1)
        for axis, places in enumerate([(source_NK3, zeros_NK3), (zeros_NK3, source_NK3)])
    ]
    equations_NE8, values_NE1 = torch.cat(rows, dim=1), to_NK2.mT.flatten(1)[..., None]
    weighted_N8E = (equations_NE8 * weight_NK.repeat(1, 2)[..., None]).mT
    solved_N81 = torch.linalg.solve(
        weighted_N8E @ equations_NE8 + torch.diag(torch.tensor(_RIDGE)), weighted_N8E @ values_NE1
    )
    return F.pad(solved_N81[..., 0], (0, 1), value=1.0).view(-1, 3, 3)


def _homogeneous(points: Tensor) -> Tensor:
    return F.pad(points, (0, 1), value=1.0)
