"""How often an augmentation deletes a digit or turns it into another.

    python -m jersey.evaluation.label_preservation runs/quickstart/RUN

A label is true of an augmented crop only while the number can still be read. Any augmentation can be measured, as it is
only watched from outside, like a lens: with the same random parameters it is given drawn numbers (`known_digits`), a
dark and a light frame, and nine spots of light around each number. Where the spots went tells how it moved the number,
where dark and light still differ tells what it left in view. Then a label counts as

- deleted, when less than half of a digit's ink is in view;
- turned, when a digit, moved back, looks more like another digit of its typeface. Moving back undoes what is small:
  turns below 45 degrees, scale, shear, shift; a mirrored or half-turned number stays so;
- faded, when a digit looks less than half as much like itself as it did before.

Shapes: N crops, D digits, T templates, P points, K spots, H W size. Points are (x, y) in pixels.
"""

import argparse
import itertools
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Generator, Tensor

from jersey import config as configs
from jersey.augment.augment import Augment, Augmentation
from jersey.core.console import set_up_console
from jersey.core.errors import exit_on_user_error
from jersey.evaluation.known_digits import DARK, LIGHT, KnownDigits, known_digits, look
from jersey.evaluation.motion import Motion, motion
from jersey.lint.checks import load

TOGETHER = "all together"
KINDS = ("survived", "deleted", "turned", "faded")
ROUNDS = 5
LEAST_IN_VIEW = 0.5
LEAST_ALIKE = 0.5
_VISIBLE = 4.0  # levels of 255: less contrast than that is none
_SPOTS = 3  # a side

Augmenting = Callable[[Tensor, Generator], Tensor]


@dataclass(frozen=True)
class Survival:
    """What became of `labels` labels: shares that sum to 1, and the commonest loss, such as "16 -> 91"."""

    labels: int
    survived: float
    deleted: float
    turned: float
    faded: float
    example: str


def survival(augment: Augmenting | None, *, size_px: int = 64, rounds: int = ROUNDS) -> Survival:
    """Of about a hundred drawn numbers, each augmented `rounds` times; the same at every call."""
    known = known_digits(size_px)
    fates: list[tuple[str, str, str]] = []
    for seed in range(rounds):
        fates += _fates(augment or _nothing, known, seed)
    counts = Counter(kind for kind, _, _ in fates)
    survived, deleted, turned, faded = (counts[kind] / len(fates) for kind in KINDS)
    lost = Counter(f"{number} -> {seen or 'nothing'}" for kind, number, seen in fates if kind != "survived")
    example = lost.most_common(1)[0][0] if lost else ""
    return Survival(len(fates), survived, deleted, turned, faded, example)


def by_operation(augment: Augmenting | None, *, size_px: int = 64, rounds: int = ROUNDS) -> dict[str, Survival]:
    """Of each operation alone, by its name, and of all `TOGETHER`."""
    operations = augment.operations.items() if isinstance(augment, Augment) else ()
    alone: dict[str, Augmenting] = {name: Augment(only=cast("Augmentation", each)) for name, each in operations}
    return {
        name: survival(each, size_px=size_px, rounds=rounds) for name, each in [*alone.items(), (TOGETHER, augment)]
    }


def _nothing(images_BCHW: Tensor, generator: Generator) -> Tensor:
    return images_BCHW.float()


@torch.no_grad()
def _fates(augment: Augmenting, known: KnownDigits, seed: int) -> list[tuple[str, str, str]]:
    """Of each crop what happened, its number, and what is left to read."""
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
    return [_fate(number, *row) for number, row in zip(known.numbers, rows, strict=True)]


def _fate(number: str, in_view: list[float], read: list[int], alike: list[float]) -> tuple[str, str, str]:
    # The lists hold two digits, whatever the number.
    digits = list(zip(number, in_view, map(str, read), alike, strict=False))
    seen = "".join(digit for _, share, digit, _ in digits if share >= LEAST_IN_VIEW)
    if len(seen) < len(number):
        return "deleted", number, seen
    if seen != number:
        return "turned", number, seen
    faded = any(share < LEAST_ALIKE for *_, share in digits)
    return "faded" if faded else "survived", number, seen


def _augmented(augment: Augmenting, pictures_NHW: Tensor, seed: int) -> Tensor:
    """Grey pictures in, the mean of the channels out; the same random parameters for the same seed."""
    images_NCHW = pictures_NHW.round().to(torch.uint8)[:, None].repeat(1, 3, 1, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for an operation that asks torch instead of the generator
        return augment(images_NCHW, torch.Generator().manual_seed(seed)).mean(dim=1)


def _spots(known: KnownDigits) -> Tensor:
    """Pictures of one light spot each, in rows and columns over the box of the number, [N,K,H,W]."""
    low_N2, high_N2 = known.corners().unbind(dim=1)
    # Half as wide as they are apart, and seen after moderate blur.
    half_N2 = ((high_N2 - low_N2) / _SPOTS / 4).clamp(min=1.5)
    pixels_P = torch.arange(known.ink_NDHW.shape[-1]) + 0.5
    spots = []
    for row, column in itertools.product(range(_SPOTS), repeat=2):
        middle_N2 = low_N2 + (high_N2 - low_N2) * (torch.tensor([column, row]) + 0.5) / _SPOTS
        lit_N2P = (pixels_P - middle_N2[..., None]).abs() <= half_N2[..., None]
        spots.append(lit_N2P[:, 0, None, :] & lit_N2P[:, 1, :, None])
    return DARK + (LIGHT - DARK) * torch.stack(spots, dim=1).float()


def _share_in_view(known: KnownDigits, in_view_NHW: Tensor, moves: Motion) -> Tensor:
    """Of each digit's ink, [N,D]; 0 where too little is seen to tell where it went."""
    centres_P = torch.arange(in_view_NHW.shape[-1]) + 0.5
    y, x = torch.meshgrid(centres_P, centres_P, indexing="ij")
    seen_N1P = look(in_view_NHW.float(), moves(torch.stack([x, y], dim=-1).view(1, 1, -1, 2)))
    ink_NDP = known.ink_NDHW.flatten(2)
    return (ink_NDP * seen_N1P).sum(dim=2) / ink_NDP.sum(dim=2).clamp(min=1e-6) * moves.told_N[:, None]


def main() -> None:
    """Prints a row an operation, the worst first, and what the whole does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run, or its config.json")
    parser.add_argument("--size_px", type=int, help="of the drawn crops; the run's own when left out")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    flags = parser.parse_args()
    with exit_on_user_error():
        set_up_console()
        _, config = load(flags.run)
        augment = configs.build(config.module).keywords.get("augment")
        found = by_operation(augment, size_px=flags.size_px or min(config.data.size_px), rounds=flags.rounds)
    print(table(found))
    whole = asdict(found[TOGETHER])
    print(json.dumps({"bench": "survival", "worst": worst(found), **whole}))


def worst(found: dict[str, Survival]) -> str | None:
    """The operation that alone destroys most labels; None when none destroys any."""
    alone = {name: each.survived for name, each in found.items() if name != TOGETHER}
    name = min(alone, key=alone.__getitem__, default=None)
    return name if name is not None and alone[name] < 1 else None


def table(found: dict[str, Survival]) -> str:
    """A row an operation, the worst first, the whole last."""
    lines = [f"{'operation':<16} {' '.join(f'{kind:>9}' for kind in KINDS)}  commonest loss"]
    for name, each in sorted(found.items(), key=lambda item: (item[0] == TOGETHER, item[1].survived)):
        shares = (each.survived, each.deleted, each.turned, each.faded)
        lines.append(f"{name:<16} {' '.join(f'{share:9.2%}' for share in shares)}  {each.example}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    main()
