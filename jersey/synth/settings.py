"""Settings of a generated data set with their checks, the labels of its crops, and the manifest."""

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
Style = Literal["back", "varied"]
STYLES: tuple[Style, ...] = get_args(Style)

MANIFEST = "synth.json"
# Settings that older manifests lack, with the values of that time.
_NEWER = {"illegible": 0.0, "frames": 1, "style": "back", "fonts": None, "fonts_sha256": ""}
_MAX_FRAMES = 1000
# To be raised with every change of the pixels of a crop.
GENERATOR_VERSION = 1


@dataclass(frozen=True)
class Settings:
    """Settings of a generated data set; raises UserError if they are invalid.

    Attributes:
        numbers: one or two digits each, as printed, from frequent to rare.
        train: number of train crops in total, or of each number; 0 leaves the split out.
        val: number of val crops in total.
        test: number of test crops in total.
        size_px: side of the crops, 32 to 512 pixels; in the style "varied", the maximum of their longer side.
        imbalance: ratio of the train crops of the first number to those of the last, if `train` is a total.
        layout: "folders" (`<split>/<number>/*.jpg`) or "annotations" (`<split>/annotations.jsonl` with `images/`).
        seed: seed of all crops.
        illegible: number of additional illegible crops as a fraction of each split's crops; they are in
            `<split>/illegible`, or have an empty suffix.
        frames: number of frames per player; above 1, tracklets are generated and counted, each a folder of frames of
            one player, or rows with the same "tracklet".
        style: "back" (square crops of players from behind in an arena) or "varied" (all kinds of jerseys, numbers,
            cameras and sizes; see `jersey.synth.varied`).
        fonts: folder of the font files to print with; None uses those that come with matplotlib and Pillow.
        fonts_sha256: hash of these files, see `jersey.synth.fonts.fonts_sha256`; "" without a folder.
        generator_version: version of the pixels.
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
    style: Style = "back"
    fonts: str | None = None
    fonts_sha256: str = ""
    generator_version: int = GENERATOR_VERSION

    def __post_init__(self) -> None:
        self._check_numbers()
        for split in SPLITS:
            self._check_crops(split)
        illegible, frames, imbalance = self.illegible, self.frames, self.imbalance
        range_ = f"choose 1 for crops, or up to {_MAX_FRAMES} frames per tracklet"
        ratio = "choose the ratio of the most to the least frequent number"
        for is_valid, problem in (
            (any((self.train, self.val, self.test)), "train, val and test are all 0; request crops in one of them"),
            (0 <= illegible <= 1, f"illegible={illegible} is not a fraction of each split's crops; choose 0 to 1"),
            (1 <= frames <= _MAX_FRAMES, f"frames={frames} is out of range; {range_}"),
            (frames == 1 or not illegible, "illegible is for crops, tracklets have hard frames anyway; leave it at 0"),
            (32 <= self.size_px <= 512, f"size_px={self.size_px} is out of range; choose 32 to 512 pixels"),
            (imbalance >= 1, f"imbalance={imbalance} is below 1; {ratio}"),
            (self.layout in LAYOUTS, f"layout={self.layout!r} is unknown; choose one of {', '.join(LAYOUTS)}"),
            (self.style in STYLES, f"style={self.style!r} is unknown; choose one of {', '.join(STYLES)}"),
            (frames == 1 or self.style == "back", "tracklets exist in the style back only; leave frames or style out"),
            (self.seed >= 0, f"seed={self.seed} is negative; choose 0 or more"),
            (self.fonts != "", "fonts is empty; name a folder with font files, or leave fonts out"),
        ):
            if not is_valid:
                raise UserError(problem)

    def _check_numbers(self) -> None:
        if not self.numbers:
            raise UserError("there are no numbers to generate; list some, such as 0,00,7,10-15")
        for number in self.numbers:
            if not (isinstance(number, str) and JERSEY_NUMBER.fullmatch(number)):
                remedy = "use strings of one or two digits, such as 7 or 00"
                raise UserError(f"{number!r} is not a jersey number; {remedy}")
        if twice := sorted(number for number, count in Counter(self.numbers).items() if count > 1):
            raise UserError(f"numbers appear twice: {', '.join(twice)}; list each once")

    def _check_crops(self, split: SplitName) -> None:
        crops, numbers = getattr(self, split), len(self.numbers)
        if isinstance(crops, int):
            if 0 != crops < numbers:
                remedy = f"request at least {numbers}, fewer numbers, or 0 to leave the split out"
                raise UserError(f"{split}={crops} is too few crops for {numbers} numbers; {remedy}")
        elif len(crops) != numbers or min(crops) < 1:
            raise UserError(f"{split}={_shown(crops)} is not a count of at least 1 for each of {numbers} numbers")
        elif self.imbalance != 1:
            raise UserError(
                f"imbalance={self.imbalance} has no effect if {split} lists the crops of each number; leave it at 1"
            )

    def numbers_of(self, split: SplitName) -> list[str]:
        """Returns the number of each legible crop, or of each tracklet, of a split, in order."""
        crops, imbalance = getattr(self, split), self.imbalance if split == "train" else 1.0
        if crops == 0:
            return []
        if isinstance(crops, int):
            crops = list(apportion(crops, numbers=self.numbers, imbalance=imbalance).values())
        return np.repeat(self.numbers, crops).tolist()

    def labels_of(self, split: SplitName) -> list[str]:
        """Returns the same, followed by an empty string for each illegible crop."""
        numbers = self.numbers_of(split)
        return [*numbers, *[ILLEGIBLE] * round(self.illegible * len(numbers))]

    def to_json(self) -> str:
        """Returns the content of the manifest."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def load(cls, root: Path) -> "Settings":
        """Loads the manifest of a folder that this version of jersey has generated."""
        content = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        return cls(**content | {"numbers": tuple(content["numbers"])})

    def require_same_as_in(self, root: Path) -> None:
        """Raises UserError if the folder was not generated with these settings."""
        remedy = "delete the folder or choose another root"
        try:
            found = _NEWER | json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{root} exists and was not generated by jersey.synth; choose another root") from None
        except ValueError as error:
            raise UserError(f"{root / MANIFEST} cannot be read ({error}); {remedy}") from None
        found["fonts"] = found["fonts"] or None  # older manifests have an empty text
        wanted = json.loads(self.to_json())
        # The font files decide, wherever they are; without them, the name of their folder does.
        skipped = "fonts" if self.fonts_sha256 else "fonts_sha256"
        for field in fields(self):
            was, now = found.get(field.name), wanted[field.name]
            if was == now or field.name == skipped:
                continue
            if field.name == "fonts_sha256":
                raise UserError(f"{root} was generated with other font files than those now in {self.fonts}; {remedy}")
            raise UserError(f"{root} was generated with {field.name}={_shown(was)}, now it is {_shown(now)}; {remedy}")


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def apportion(total: int, *, numbers: Sequence[str], imbalance: float = 1.0) -> dict[str, int]:
    """Distributes `total` crops over numbers; the counts never rise along the list, and none is 0.

    The targets fall geometrically from the first number to the last by the ratio `imbalance`. They are rounded by the
    method of Huntington and Hill (as for seats in the US House), in which every number has at least one crop.
    """
    assert total >= len(numbers), "too few crops for the numbers"
    steps = max(1, len(numbers) - 1)
    targets_K = np.array([imbalance ** (-rank / steps) for rank in range(len(numbers))])
    counts_K = np.ones(len(numbers), dtype=int)
    for _ in range(total - len(numbers)):
        counts_K[np.argmax(targets_K / np.sqrt(counts_K * (counts_K + 1)))] += 1
    return dict(zip(numbers, counts_K.tolist(), strict=True))
