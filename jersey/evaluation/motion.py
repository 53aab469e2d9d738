"""How something moved pictures, told from where it put spots of light.

Shapes: N crops, K spots, D digits, P points, Q large motions (8), H W size. Points are (x, y) in pixels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_DIM = 0.25  # less of the brightest pixel is not the spot but what compression left around it
_REACH = 0.1  # of the picture's side: how far from its brightest place a spot extends at most
_STRIDE_PX = 3
_ROUNDS = 8
_AGREED_PX = 0.3
# Keeps perspective at 0 where too few spots are seen to tell it; told ones are hardly changed.
_RIDGE = (*(1e-5,) * 6, 1e-2, 1e-2)


@dataclass(frozen=True)
class Motion:
    """A projective map of each crop, from where a point was to where it is now."""

    homographies_N33: Tensor  # for x and y from -1 to 1 across the picture
    told_N: Tensor  # whether enough spots were found again, and not in one line, to tell
    size_px: int  # side of the picture

    def __call__(self, points_NDP2: Tensor) -> Tensor:
        """Where points went."""
        moved = _homogeneous(points_NDP2 / self.size_px * 2 - 1) @ self.homographies_N33[:, None].mT
        return (moved[..., :2] / moved[..., 2:] + 1) * self.size_px / 2

    def without_large_part(self, points_NDP2: Tensor, *, around_N2: Tensor) -> Tensor:
        """Where points would have gone, had the picture first been turned and mirrored back around a middle.

        What is small (turns below 45 degrees, scale, shear, shift) is in the map, so looking at these points undoes it,
        and shows a mirrored or half-turned picture still mirrored or half-turned.
        """
        around_N112 = around_N2[:, None, None]
        # Row vectors times an orthogonal matrix: times its inverse, as columns are written.
        offsets_NDP2 = (points_NDP2 - around_N112) @ self._large_part(around_N112)[:, None]
        return self(offsets_NDP2 + around_N112)

    def _large_part(self, around_N112: Tensor) -> Tensor:
        """Of the eight turns by quarters, mirrored or not, the one nearest to the map around a point, [N,2,2]."""
        steps_N22 = (self(around_N112 + torch.eye(2)) - self(around_N112)).squeeze(1)  # a row a direction
        quarter_22 = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
        turns = [torch.linalg.matrix_power(quarter_22, count) for count in range(4)]
        large_Q22 = torch.stack([*turns, *(turn @ torch.diag(torch.tensor([-1.0, 1.0])) for turn in turns)])
        return large_Q22[torch.einsum("nij,qji->nq", steps_N22, large_Q22).argmax(dim=1)]


def motion(before_NKHW: Tensor, after_NKHW: Tensor, *, visible: float) -> Motion:
    """The map that most spots agree on.

    Args:
        before_NKHW: pictures of one spot each on 0.
        after_NKHW: how much each picture's spot changed what came out.
        visible: the least change that counts as seen.
    """
    size_px = before_NKHW.shape[-1]
    (from_NK2, _), (to_NK2, peak_NK) = locate(before_NKHW), locate(after_NKHW)
    seen_NK = (peak_NK > visible).float()
    weight_NK1 = seen_NK[..., None] / seen_NK.sum(dim=1).clamp(min=1)[:, None, None]
    middle_N12 = (weight_NK1 * from_NK2).sum(dim=1, keepdim=True)
    around_NK2 = seen_NK[..., None] * (from_NK2 - middle_N12)
    told_N = torch.linalg.eigvalsh(around_NK2.mT @ around_NK2)[:, 0] > 1
    weight_NK = seen_NK
    for _ in range(_ROUNDS):  # least squares, repeated with less weight for spots that disagree
        found = Motion(_fit(from_NK2 / size_px * 2 - 1, to_NK2 / size_px * 2 - 1, weight_NK), told_N, size_px)
        off_px_NK = (found(from_NK2[:, None])[:, 0] - to_NK2).norm(dim=-1)
        weight_NK = seen_NK / (off_px_NK + _AGREED_PX)
    return found


def locate(changes_NKHW: Tensor) -> tuple[Tensor, Tensor]:
    """Centre [N,K,2] and height [N,K] of the spot in each picture.

    Only around its brightest place, as mirrored borders may show a part of it twice.
    """
    flat_NKP = changes_NKHW.flatten(2)
    # A change of the whole frame, as of a contrast around its mean, is no spot.
    mass_NKP = (flat_NKP - flat_NKP.median(dim=2, keepdim=True).values).abs()
    peak_NK = mass_NKP.amax(dim=2)
    mass_NKHW = (mass_NKP * (mass_NKP > _DIM * peak_NK[..., None])).view_as(changes_NKHW)
    width = changes_NKHW.shape[-1]
    coarse_NKhw = F.avg_pool2d(mass_NKHW, 5, stride=_STRIDE_PX, padding=2)
    brightest_NK, columns = coarse_NKhw.flatten(2).argmax(dim=2), coarse_NKhw.shape[-1]
    centre_NK2 = torch.stack([brightest_NK % columns, brightest_NK // columns], dim=-1) * _STRIDE_PX + 0.5
    pixels_P = torch.arange(width) + 0.5
    for _ in range(2):  # the second time around the centre that the first has found
        columns_NKP, rows_NKP = ((pixels_P - centre_NK2[..., None]).abs() < _REACH * width).unbind(dim=2)
        near_NKHW = mass_NKHW * rows_NKP[..., None] * columns_NKP[:, :, None]
        total_NK = near_NKHW.sum(dim=(2, 3)).clamp(min=1e-6)
        sums = [(near_NKHW.sum(dim=axis) * pixels_P).sum(dim=2) / total_NK for axis in (2, 3)]
        centre_NK2 = torch.stack(sums, dim=-1)
    return centre_NK2, peak_NK


def _fit(from_NK2: Tensor, to_NK2: Tensor, weight_NK: Tensor) -> Tensor:
    """Weighted least squares of a homography's eight numbers, linear after multiplying by its denominator, [N,3,3]."""
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
