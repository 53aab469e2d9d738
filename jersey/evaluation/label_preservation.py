"""How often an augmentation deletes a digit or turns it into another.

A label is true of an augmented crop only while the number can still be read. Any augmentation can be measured, as it is
only watched from outside, like a lens: with the same random parameters it is given drawn numbers (`known_digits`), a
dark and a light frame, and nine spots of light around each number. Where the spots went tells how it moved the number,
where dark and light still differ tells what it left in view. Then a label counts as

- deleted, when less than half of a digit's ink is in view;
- changed, when a digit, moved back, looks more like another digit of its typeface. Moving back undoes what is small:
  turns below 45 degrees, scale, shear, shift; a mirrored or half-changed number stays so;
- faded, when a digit looks less than half as much like itself as it did before.

Shapes: N crops, D digits, T templates, P points, K spots, H W size. Points are (x, y) in pixels.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import cast

import torch
from torch import Generator, Tensor

from jersey.augment.base import Augment, Augmentation
from jersey.core.tables import format_table
from jersey.evaluation.known_digits import DARK, LIGHT, KnownDigits, cell_centres, known_digits, look
from jersey.evaluation.motion import Motion, motion

TOGETHER = "all together"
KINDS = ("preserved", "deleted", "changed", "faded")
ROUNDS = 5
MIN_IN_VIEW = 0.5
MIN_SIMILARITY = 0.5
_VISIBLE = 4.0  # levels of 255: less contrast than that is none
_SPOTS = 3  # a side

Augmenting = Callable[[Tensor, Generator], Tensor]


@dataclass(frozen=True)
class LabelPreservation:
    """What became of `labels` labels: shares that sum to 1, and the commonest loss, such as "16 -> 91"."""

    labels: int
    preserved: float
    deleted: float
    changed: float
    faded: float
    example: str


def label_preservation(augment: Augmenting | None, *, size_px: int = 64, rounds: int = ROUNDS) -> LabelPreservation:
    """Of about a hundred drawn numbers, each augmented `rounds` times; the same at every call."""
    augmenting = augment or (lambda images_BCHW, generator: images_BCHW.float())
    known = known_digits(size_px)
    fates = [fate for seed in range(rounds) for fate in _outcomes(augmenting, known, seed)]
    counts = Counter(kind for kind, _ in fates)
    lost = Counter(loss for kind, loss in fates if kind != "preserved")
    shares = {kind: counts[kind] / len(fates) for kind in KINDS}
    return LabelPreservation(labels=len(fates), example=lost.most_common(1)[0][0] if lost else "", **shares)


def by_operation(
    augment: Augmenting | None, *, size_px: int = 64, rounds: int = ROUNDS
) -> dict[str, LabelPreservation]:
    """Of each operation alone, by its name, and of all `TOGETHER`."""
    operations = augment.operations.items() if isinstance(augment, Augment) else ()
    alone: dict[str, Augmenting] = {name: Augment(only=cast("Augmentation", each)) for name, each in operations}
    return {
        name: label_preservation(each, size_px=size_px, rounds=rounds)
        for name, each in [*alone.items(), (TOGETHER, augment)]
    }


@torch.no_grad()
def _outcomes(augment: Augmenting, known: KnownDigits, seed: int) -> list[tuple[str, str]]:
    """Of each crop what happened, and its number and what is left to read."""
    picture_NHW, spots_NKHW = known.pictures(), _spots(known)
    frames = [torch.full_like(picture_NHW, level) for level in (DARK, LIGHT)]
    number_NHW, dark_NHW, light_NHW, *moved = (
        _augmented(augment, probe_NHW, seed) for probe_NHW in (picture_NHW, *frames, *spots_NKHW.unbind(dim=1))
    )
    moves = motion(spots_NKHW - DARK, torch.stack(moved, dim=1) - dark_NHW[:, None], visible=_VISIBLE)
    in_view_ND = _share_in_view(known, (light_NHW - dark_NHW).abs() > _VISIBLE, moves)

    points_NDP2 = known.box_points()
    before_NDT = known.similarities(picture_NHW, points_NDP2)
    moved_NDP2 = moves.without_large_part(points_NDP2, around_N2=known.corners().mean(dim=1))
    after_NDT = known.similarities(number_NHW, moved_NDP2)
    own_ND1 = known.digits_ND.clamp(min=0)[..., None]
    alike_ND = (after_NDT.gather(2, own_ND1) / before_NDT.gather(2, own_ND1))[..., 0]
    rows = zip(in_view_ND.tolist(), after_NDT.argmax(dim=2).tolist(), alike_ND.tolist(), strict=True)
    return [_outcome(number, *row) for number, row in zip(known.numbers, rows, strict=True)]


def _outcome(number: str, in_view: list[float], read: list[int], alike: list[float]) -> tuple[str, str]:
    # The lists hold two digits, whatever the number.
    digits = list(zip(number, in_view, map(str, read), alike, strict=False))
    seen = "".join(digit for _, share, digit, _ in digits if share >= MIN_IN_VIEW)
    loss = f"{number} -> {seen or 'nothing'}"
    if len(seen) < len(number):
        return "deleted", loss
    if seen != number:
        return "changed", loss
    return "faded" if any(share < MIN_SIMILARITY for *_, share in digits) else "preserved", loss


def _augmented(augment: Augmenting, pictures_NHW: Tensor, seed: int) -> Tensor:
    """Grey pictures in, the mean of the channels out; the same random parameters for the same seed."""
    images_NCHW = pictures_NHW.round().to(torch.uint8)[:, None].repeat(1, 3, 1, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for an operation that asks torch instead of the generator
        return augment(images_NCHW, torch.Generator().manual_seed(seed)).mean(dim=1)


def _spots(known: KnownDigits) -> Tensor:
    """Pictures of one light spot each, in rows and columns over the box of the number, [N,K,H,W]."""
    low_N12, high_N12 = known.corners()[:, None].unbind(dim=2)
    # Half as wide as they are apart, and seen after moderate blur.
    half_N12 = ((high_N12 - low_N12) / _SPOTS / 4).clamp(min=1.5)
    middle_NK2 = low_N12 + (high_N12 - low_N12) * cell_centres(_SPOTS, _SPOTS) / _SPOTS
    pixels_P = torch.arange(known.ink_NDHW.shape[-1]) + 0.5
    columns_NKP, rows_NKP = ((pixels_P - middle_NK2[..., None]).abs() <= half_N12[..., None]).unbind(dim=2)
    return DARK + (LIGHT - DARK) * (rows_NKP[..., None] & columns_NKP[:, :, None]).float()


def _share_in_view(known: KnownDigits, in_view_NHW: Tensor, moves: Motion) -> Tensor:
    """Of each digit's ink, [N,D]; 0 where too little is seen to tell where it went."""
    seen_N1P = look(in_view_NHW.float(), moves(cell_centres(*in_view_NHW.shape[1:])[None, None]))
    ink_NDP = known.ink_NDHW.flatten(2)
    return (ink_NDP * seen_N1P).sum(dim=2) / ink_NDP.sum(dim=2).clamp(min=1e-6) * moves.told_N[:, None]


def worst(found: dict[str, LabelPreservation]) -> str | None:
    """The operation that alone destroys most labels; None when none destroys any."""
    alone = {name: each.preserved for name, each in found.items() if name != TOGETHER and each.preserved < 1}
    return min(alone, key=alone.__getitem__, default=None)


def preservation_table(found: dict[str, LabelPreservation]) -> str:
    """A row an operation, the worst first, the whole last."""
    rows = [["operation", *(f"{kind:>9}" for kind in KINDS), "commonest loss"]]
    for name, each in sorted(found.items(), key=lambda item: (item[0] == TOGETHER, item[1].preserved)):
        _, *shares, example = astuple(each)
        rows.append([name, *(f"{share:9.2%}" for share in shares), example])
    return "\n".join(format_table(rows))
