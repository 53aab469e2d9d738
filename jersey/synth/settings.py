"""What a generated data set is asked to hold: settings and their checks, crops of each number, and the manifest."""

import heapq
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE, JERSEY_NUMBER, SPLITS, SplitName

Layout = Literal["folders", "annotations"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)

MANIFEST = "synth.json"
# Settings that older manifests lack, as what those record was drawn.
_NEWER = {"unreadable": 0.0, "frames": 1}
_MOST_FRAMES = 1000
# Raise it with every change that alters the pixels of a crop.
GENERATOR_VERSION = 1


@dataclass(frozen=True)
class Settings:
    """The settings of `jersey.synth.generate`, checked; raises UserError for what cannot be drawn."""

    numbers: tuple[str, ...]
    train: int | Sequence[int]
    val: int
    test: int
    size_px: int
    imbalance: float
    layout: Layout
    seed: int
    unreadable: float = 0.0
    frames: int = 1
    generator_version: int = GENERATOR_VERSION

    def __post_init__(self) -> None:
        check_numbers(self.numbers)
        for split in SPLITS:
            self._check_crops(split)
        if not any((self.train, self.val, self.test)):
            raise UserError("train, val and test are all 0; ask for crops in one of them")
        if not 0 <= self.unreadable <= 1:
            raise UserError(f"unreadable={self.unreadable} is not a share; give 0 to 1 of the crops of each split")
        if not 1 <= self.frames <= _MOST_FRAMES:
            raise UserError(
                f"frames={self.frames} cannot be drawn; "
                f"give 1 for crops, or up to {_MOST_FRAMES} pictures of each player"
            )
        if self.frames > 1 and self.unreadable:
            raise UserError("unreadable is for crops, and tracklets have hard frames anyway; leave it at 0")
        if not 32 <= self.size_px <= 512:
            raise UserError(f"size_px={self.size_px} cannot be drawn; choose a size from 32 to 512 pixels")
        if not self.imbalance >= 1:
            raise UserError(
                f"imbalance={self.imbalance} is below 1; give the ratio of the most to the least frequent number"
            )
        if self.layout not in LAYOUTS:
            raise UserError(f"layout={self.layout!r} is unknown; choose one of {', '.join(LAYOUTS)}")
        if self.seed < 0:
            raise UserError(f"seed={self.seed} is negative; choose 0 or more")

    def _check_crops(self, split: SplitName) -> None:
        crops, numbers = getattr(self, split), len(self.numbers)
        if isinstance(crops, int):
            if crops and crops < numbers:
                raise UserError(
                    f"{split}={crops} is too few crops for {numbers} numbers; "
                    f"ask for at least {numbers}, for fewer numbers, or for 0 to leave the split out"
                )
        elif len(crops) != numbers or min(crops) < 1:
            raise UserError(f"{split}={_shown(crops)} is not a count of at least 1 for each of {numbers} numbers")
        elif self.imbalance != 1:
            raise UserError(f"imbalance={self.imbalance} does nothing where {split} counts each number; leave it at 1")

    def numbers_of(self, split: SplitName) -> list[str]:
        """The number on each readable crop of a split, or of each tracklet, in order."""
        crops, imbalance = getattr(self, split), self.imbalance if split == "train" else 1.0
        if crops == 0:
            return []
        if isinstance(crops, int):
            crops = apportion(crops, numbers=self.numbers, imbalance=imbalance).values()
        return [number for number, count in zip(self.numbers, crops, strict=True) for _ in range(count)]

    def labels_of(self, split: SplitName) -> list[str]:
        """The same, with an empty string for each unreadable crop at the end."""
        numbers = self.numbers_of(split)
        return [*numbers, *[ILLEGIBLE] * round(self.unreadable * len(numbers))]

    def to_json(self) -> str:
        """The content of the manifest."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def load(cls, root: Path) -> "Settings":
        """Reads the manifest of a folder that this version of jersey has made."""
        content = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        return cls(**content | {"numbers": tuple(content["numbers"])})

    def require_same_as_in(self, root: Path) -> None:
        """Raises UserError when the folder holds something else than these settings would draw."""
        mend = "delete the folder or choose another root"
        try:
            found = _NEWER | json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{root} exists and was not drawn by jersey.synth; choose another root") from None
        except ValueError as error:
            raise UserError(f"{root / MANIFEST} is not readable ({error}); {mend}") from None
        wanted = json.loads(self.to_json())
        for field in fields(self):
            if found.get(field.name) != wanted[field.name]:
                raise UserError(
                    f"{root} was drawn with {field.name}={_shown(found.get(field.name))}, "
                    f"now it is {_shown(wanted[field.name])}; {mend}"
                )


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def check_numbers(numbers: Sequence[str]) -> None:
    """Raises UserError for a list of numbers that cannot be drawn."""
    if not numbers:
        raise UserError("there are no numbers to draw; give some, such as 0,00,7,10-15")
    for number in numbers:
        if not (isinstance(number, str) and JERSEY_NUMBER.fullmatch(number)):
            raise UserError(f"{number!r} is not a jersey number; give strings of one or two digits, such as 7 or 00")
    twice = sorted({number for number in numbers if list(numbers).count(number) > 1})
    if twice:
        raise UserError(f"numbers appear twice: {', '.join(twice)}; list each once")


def apportion(total: int, *, numbers: Sequence[str], imbalance: float = 1.0) -> dict[str, int]:
    """Divides crops over numbers; the counts add up to `total`, never rise along the list, and none is 0.

    The targets fall geometrically from the first number to the last. Whole counts follow by the method of
    Huntington and Hill (as for seats in the US House), which gives everyone one first.

    Args:
        total: crops, at least one for each number.
        numbers: from frequent to rare.
        imbalance: ratio of the first target to the last, at least 1.
    """
    assert total >= len(numbers), "too few crops for the numbers"
    steps = max(1, len(numbers) - 1)
    shares = [imbalance ** (-rank / steps) for rank in range(len(numbers))]
    counts = [1] * len(numbers)
    queue = [(-share / 2**0.5, rank) for rank, share in enumerate(shares)]
    heapq.heapify(queue)
    for _ in range(total - len(numbers)):
        rank = queue[0][1]
        counts[rank] += 1
        heapq.heapreplace(queue, (-shares[rank] / (counts[rank] * (counts[rank] + 1)) ** 0.5, rank))
    return dict(zip(numbers, counts, strict=True))
