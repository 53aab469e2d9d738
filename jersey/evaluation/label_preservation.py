"""Measures how often an augmentation deletes a digit or turns it into another.

The label of an augmented crop is only valid while the number is still legible. Any augmentation can be measured as a
black box: with the same random parameters it is applied to synthetic numbers (`known_digits`), to a dark and a light
image, and to nine light spots around each number. The spots show how it moved the number. The number is in view where
the dark and the light image still differ. Then a label counts as

- deleted, if less than half of a digit's ink is in view;
- changed, if a digit, moved back, is more similar to another digit of its typeface. Moving back only reverts small
  changes: rotation below 45 degrees, scale, shear, shift; a mirrored or upside-down number stays so;
- faded, if a digit is less than half as similar to its template as before.

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
from jersey.evaluation.known_digits import DARK, LIGHT, KnownDigits, cell_centers, known_digits, sample
from jersey.evaluation.motion import Motion, motion

TOGETHER = "all together"
KINDS = ("preserved", "deleted", "changed", "faded")
ROUNDS = 5  # of about 100 numbers, so a loss of 1 % of the labels has a standard error of 0.4 points
MIN_IN_VIEW = 0.5  # fraction of a digit's ink, below which the digit is deleted
MIN_SIMILARITY = 0.5  # relative to the similarity before the augmentation, below which a digit is faded
_MIN_CONTRAST = 4.0  # in levels of 255; a smaller difference is invisible
_SPOTS = 3  # spots per side of the grid; eight unknowns of a projective map need at least four spots

Augmenting = Callable[[Tensor, Generator], Tensor]


@dataclass(frozen=True)
class LabelPreservation:
    """The outcomes of augmenting labels; the four fractions sum to 1.

    Attributes:
        labels: number of labels.
        preserved: fraction of labels that stay legible.
        deleted: fraction with a digit out of view.
        changed: fraction with a digit that looks like another one.
        faded: fraction with a digit that hardly looks like itself.
        example: most frequent loss, such as "16 -> 91"; empty without losses.
    """

    labels: int
    preserved: float
    deleted: float
    changed: float
    faded: float
    example: str


def label_preservation(augment: Augmenting | None, *, size_px: int = 64, rounds: int = ROUNDS) -> LabelPreservation:
    """Measures about a hundred synthetic numbers; every call returns the same.

    Args:
        augment: augmentation of uint8 crops [B, 3, H, W] with a generator; None for none.
        size_px: side of the crops.
        rounds: number of times that each number is augmented.
    """
    augmenting = augment or (lambda images_BCHW, generator: images_BCHW.float())
    known = known_digits(size_px)
    outcomes = [outcome for seed in range(rounds) for outcome in _outcomes(augmenting, known, seed)]
    counts = Counter(kind for kind, _ in outcomes)
    losses = Counter(loss for kind, loss in outcomes if kind != "preserved")
    fractions = {kind: counts[kind] / len(outcomes) for kind in KINDS}
    example = losses.most_common(1)[0][0] if losses else ""
    return LabelPreservation(labels=len(outcomes), example=example, **fractions)


def by_operation(
    augment: Augmenting | None, *, size_px: int = 64, rounds: int = ROUNDS
) -> dict[str, LabelPreservation]:
    """Measures each operation alone, by name, and all `TOGETHER`, with the arguments of `label_preservation`."""
    operations = augment.operations.items() if isinstance(augment, Augment) else ()
    alone: dict[str, Augmenting] = {name: Augment(only=cast("Augmentation", each)) for name, each in operations}
    return {
        name: label_preservation(each, size_px=size_px, rounds=rounds)
        for name, each in [*alone.items(), (TOGETHER, augment)]
    }


@torch.no_grad()
def _outcomes(augment: Augmenting, known: KnownDigits, seed: int) -> list[tuple[str, str]]:
    """Returns for each crop its kind of outcome and its loss, such as ("changed", "16 -> 91")."""
    image_NHW, spots_NKHW = known.images(), _spots(known)
    number_NHW = _augmented(augment, image_NHW, seed)
    dark_NHW = _augmented(augment, torch.full_like(image_NHW, DARK), seed)
    light_NHW = _augmented(augment, torch.full_like(image_NHW, LIGHT), seed)
    moved_NKHW = torch.stack([_augmented(augment, spot_NHW, seed) for spot_NHW in spots_NKHW.unbind(dim=1)], dim=1)
    moves = motion(spots_NKHW - DARK, moved_NKHW - dark_NHW[:, None], min_change=_MIN_CONTRAST)
    in_view_ND = _fraction_in_view(known, (light_NHW - dark_NHW).abs() > _MIN_CONTRAST, moves)

    points_NDP2 = known.box_points()
    before_NDT = known.similarities(image_NHW, points_NDP2)
    moved_NDP2 = moves.without_large_part(points_NDP2, around_N2=known.corners().mean(dim=1))
    after_NDT = known.similarities(number_NHW, moved_NDP2)
    own_ND1 = known.digits_ND.clamp(min=0)[..., None]
    similarity_ND = (after_NDT.gather(2, own_ND1) / before_NDT.gather(2, own_ND1))[..., 0]
    rows = zip(in_view_ND.tolist(), after_NDT.argmax(dim=2).tolist(), similarity_ND.tolist(), strict=True)
    return [_outcome(number, *row) for number, row in zip(known.numbers, rows, strict=True)]


def _outcome(number: str, in_view: list[float], predicted: list[int], similarity: list[float]) -> tuple[str, str]:
    # The lists always have two entries, so a number of one digit is shorter.
    digits = list(zip(number, in_view, map(str, predicted), similarity, strict=False))
    seen = "".join(digit for _, fraction, digit, _ in digits if fraction >= MIN_IN_VIEW)
    loss = f"{number} -> {seen or 'nothing'}"
    if len(seen) < len(number):
        return "deleted", loss
    if seen != number:
        return "changed", loss
    return "faded" if any(each < MIN_SIMILARITY for *_, each in digits) else "preserved", loss


def _augmented(augment: Augmenting, images_NHW: Tensor, seed: int) -> Tensor:
    """Augments gray images and averages the channels; the same seed leads to the same random parameters."""
    images_NCHW = images_NHW.round().to(torch.uint8)[:, None].repeat(1, 3, 1, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for an operation that ignores the generator
        return augment(images_NCHW, torch.Generator().manual_seed(seed)).mean(dim=1)


def _spots(known: KnownDigits) -> Tensor:
    """Returns images of one light spot each, on a grid over the box of the number, [N,K,H,W]."""
    low_N12, high_N12 = known.corners()[:, None].unbind(dim=2)
    # Spots are half as wide as their distance, and wide enough to be visible after moderate blur.
    half_N12 = ((high_N12 - low_N12) / _SPOTS / 4).clamp(min=1.5)
    center_NK2 = low_N12 + (high_N12 - low_N12) * cell_centers(_SPOTS, _SPOTS) / _SPOTS
    pixels_P = torch.arange(known.ink_NDHW.shape[-1]) + 0.5
    columns_NKP, rows_NKP = ((pixels_P - center_NK2[..., None]).abs() <= half_N12[..., None]).unbind(dim=2)
    return DARK + (LIGHT - DARK) * (rows_NKP[..., None] & columns_NKP[:, :, None]).float()


def _fraction_in_view(known: KnownDigits, in_view_NHW: Tensor, moves: Motion) -> Tensor:
    """Returns the fraction of each digit's ink that is in view, [N,D]; 0 where the motion is undetermined."""
    seen_N1P = sample(in_view_NHW.float(), moves(cell_centers(*in_view_NHW.shape[1:])[None, None]))
    ink_NDP = known.ink_NDHW.flatten(2)
    return (ink_NDP * seen_N1P).sum(dim=2) / ink_NDP.sum(dim=2).clamp(min=1e-6) * moves.is_determined_N[:, None]


def worst(found: dict[str, LabelPreservation]) -> str | None:
    """Returns the name of the operation that alone destroys the most labels; None if none destroys any."""
    alone = {name: each.preserved for name, each in found.items() if name != TOGETHER and each.preserved < 1}
    return min(alone, key=alone.__getitem__, default=None)


def preservation_table(found: dict[str, LabelPreservation]) -> str:
    """Formats one row per operation, the worst first, all together last."""
    rows = [["operation", *(f"{kind:>9}" for kind in KINDS), "most frequent loss"]]
    for name, each in sorted(found.items(), key=lambda item: (item[0] == TOGETHER, item[1].preserved)):
        _, *fractions, example = astuple(each)
        rows.append([name, *(f"{100 * fraction:7.2f} %" for fraction in fractions), example])
    return "\n".join(format_table(rows))
