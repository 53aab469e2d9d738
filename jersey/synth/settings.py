"""What a generated data set is asked to hold: settings and their checks, crops of each number, and the manifest."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE, JERSEY_NUMBER, SPLITS, SplitName

Layout = Literal["folders", "annotations"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)

MANIFEST = "synth.json"
# Settings that older manifests lack, as what those record was drawn.
_NEWER = {"illegible": 0.0, "frames": 1}
_MOST_FRAMES = 1000
# Raise it with every change that alters the pixels of a crop.
GENERATOR_VERSION = 1


@dataclass(frozen=True)
class Settings:
    """What to draw; raises UserError for what cannot be drawn.

    Args:
        numbers: one or two digits each, as printed, from frequent to rare.
        train: number of train crops in all, or of each number; 0 leaves the split out.
        val: number of val crops in all.
        test: number of test crops in all.
        size_px: side of the crops.
        imbalance: how many times more train crops the first number has than the last; for a `train` in all.
        layout: "folders" (`<split>/<number>/*.jpg`) or "annotations" (`<split>/annotations.jsonl` with `images/`).
        seed: crops are a function of it.
        illegible: how many crops on which no number can be read each split has more, as a share of its crops; they lie
            in `<split>/illegible`, or have an empty suffix.
        frames: pictures of each player; above 1, tracklets are drawn and counted, each a folder of pictures of one
            player, or rows with one "tracklet".
        generator_version: that of the pixels.
    """

    numbers: tuple[str, ...]
    train: int | Sequence[int]
    val: int
    test: int
    size_px: int = 96
    imbalance: float = 1.0
    layout: Layout = "folders"
    seed: int = 0
    illegible: float = 0.0
    frames: int = 1
    generator_version: int = GENERATOR_VERSION

    def __post_init__(self) -> None:
        self._check_numbers()
        for split in SPLITS:
            self._check_crops(split)
        share, frames, imbalance = self.illegible, self.frames, self.imbalance
        many = f"give 1 for crops, or up to {_MOST_FRAMES} pictures of each player"
        ratio = "give the ratio of the most to the least frequent number"
        for is_fine, problem in (
            (any((self.train, self.val, self.test)), "train, val and test are all 0; ask for crops in one of them"),
            (0 <= share <= 1, f"illegible={share} is not a share; give 0 to 1 of the crops of each split"),
            (1 <= frames <= _MOST_FRAMES, f"frames={frames} cannot be drawn; {many}"),
            (frames == 1 or not share, "illegible is for crops, and tracklets have hard frames anyway; leave it at 0"),
            (32 <= self.size_px <= 512, f"size_px={self.size_px} cannot be drawn; choose a size from 32 to 512 pixels"),
            (imbalance >= 1, f"imbalance={imbalance} is below 1; {ratio}"),
            (self.layout in LAYOUTS, f"layout={self.layout!r} is unknown; choose one of {', '.join(LAYOUTS)}"),
            (self.seed >= 0, f"seed={self.seed} is negative; choose 0 or more"),
        ):
            if not is_fine:
                raise UserError(problem)

    def _check_numbers(self) -> None:
        if not self.numbers:
            raise UserError("there are no numbers to draw; give some, such as 0,00,7,10-15")
        for number in self.numbers:
            if not (isinstance(number, str) and JERSEY_NUMBER.fullmatch(number)):
                wanted = "give strings of one or two digits, such as 7 or 00"
                raise UserError(f"{number!r} is not a jersey number; {wanted}")
        if twice := sorted(number for number, count in Counter(self.numbers).items() if count > 1):
            raise UserError(f"numbers appear twice: {', '.join(twice)}; list each once")

    def _check_crops(self, split: SplitName) -> None:
        crops, numbers = getattr(self, split), len(self.numbers)
        if isinstance(crops, int):
            if 0 != crops < numbers:
                mend = f"ask for at least {numbers}, for fewer numbers, or for 0 to leave the split out"
                raise UserError(f"{split}={crops} is too few crops for {numbers} numbers; {mend}")
        elif len(crops) != numbers or min(crops) < 1:
            raise UserError(f"{split}={_shown(crops)} is not a count of at least 1 for each of {numbers} numbers")
        elif self.imbalance != 1:
            raise UserError(f"imbalance={self.imbalance} does nothing where {split} counts each number; leave it at 1")

    def numbers_of(self, split: SplitName) -> list[str]:
        """The number on each legible crop of a split, or of each tracklet, in order."""
        crops, imbalance = getattr(self, split), self.imbalance if split == "train" else 1.0
        if crops == 0:
            return []
        if isinstance(crops, int):
            crops = list(apportion(crops, numbers=self.numbers, imbalance=imbalance).values())
        return np.repeat(self.numbers, crops).tolist()

    def labels_of(self, split: SplitName) -> list[str]:
        """The same, with an empty string for each illegible crop at the end."""
        numbers = self.numbers_of(split)
        return [*numbers, *[ILLEGIBLE] * round(self.illegible * len(numbers))]

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
            raise UserError(f"{root / MANIFEST} is not legible ({error}); {mend}") from None
        wanted = json.loads(self.to_json())
        for field in fields(self):
            was, now = found.get(field.name), wanted[field.name]
            if was != now:
                raise UserError(f"{root} was drawn with {field.name}={_shown(was)}, now it is {_shown(now)}; {mend}")


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def apportion(total: int, *, numbers: Sequence[str], imbalance: float = 1.0) -> dict[str, int]:
    """Divides crops over numbers; the counts add up to `total`, never rise along the list, and none is 0.

    The targets fall geometrically from the first number to the last, whose ratio is `imbalance`. Whole counts follow by
    the method of Huntington and Hill (as for seats in the US House), which gives everyone one first.
    """
    assert total >= len(numbers), "too few crops for the numbers"
    steps = max(1, len(numbers) - 1)
    shares_K = np.array([imbalance ** (-rank / steps) for rank in range(len(numbers))])
    counts_K = np.ones(len(numbers), dtype=int)
    for _ in range(total - len(numbers)):
        counts_K[np.argmax(shares_K / np.sqrt(counts_K * (counts_K + 1)))] += 1
    return dict(zip(numbers, counts_K.tolist(), strict=True))
