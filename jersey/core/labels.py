"""Defines the names of the splits and of illegible crops, and the label map, which gives each label a class index.

The map is one value that accompanies data, checkpoint and ONNX file.

Labels are strings and stay strings ("0", "00" and "01" are three labels). Their order is part of the value, so a
different hash reveals that data, model or consumer number the classes differently.
"""

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from jersey.core.atomic import write_text
from jersey.core.errors import UserError, shorten, summarize

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)

MAX_LABEL = 80  # characters of a label, so that sentences and plots can name it
ILLEGIBLE = ""  # the label of a crop without a legible number
ILLEGIBLE_INDEX = -1  # its class index
ILLEGIBLE_NAME = "illegible"  # its folder in a data set, and its name in reports
# Other names that data sets give to it, in lower case; -1 is that of the public soccer set.
ILLEGIBLE_SPELLINGS = frozenset(
    {ILLEGIBLE, ILLEGIBLE_NAME, "unreadable", "unknown", "empty", "none", "null", "nan", "n/a", "?", "-1", "-1.0"}
)

JERSEY_NUMBER = re.compile("[0-9]{1,2}")  # ASCII digits only; other labels are allowed, but are not numbers
_WITH_DECIMALS = re.compile(r"([0-9]{1,2})\.0+")  # how spreadsheets and data frames write a whole number
_LONE_NUMBER = re.compile("[^0-9]*([0-9]{1,2})[^0-9]*")


def parse_label(text: str) -> str:
    """Returns the label that the name of a folder or a cell of a table means.

    Spellings of illegible become ILLEGIBLE, and "7.0" becomes "7". Any other text is the label itself.
    """
    if text.isdecimal():
        return text
    if text.lower() in ILLEGIBLE_SPELLINGS:
        return ILLEGIBLE
    found = _WITH_DECIMALS.fullmatch(text)
    return found[1] if found else text


def likely_number(label: str) -> str | None:
    """Returns the number of one or two digits that a label such as "#7" or "player 7" probably means, or None."""
    found = _LONE_NUMBER.fullmatch(unicodedata.normalize("NFKC", label))
    return found[1] if found else None


def in_order(names: Iterable[str]) -> list[str]:
    """Sorts distinct names by length, then by character; unlike a label map, it accepts any text.

    This total order needs no conversion to integers, which would tie "0" with "00", and suits plots:
    0 ... 9, 00, 01, 10 ... 99.
    """
    return sorted(set(names), key=lambda name: (len(name), name))


@dataclass(frozen=True)
class Labels:
    """The ordered class names.

    Attributes:
        names: distinct non-empty strings; the position of a name is its class index.

    Raises:
        UserError: a name is not a printable string of 1 to MAX_LABEL characters, or occurs twice.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in self.names:
            if not isinstance(name, str) or not name:
                raise UserError(
                    f"label {shorten(repr(name))} is not a non-empty string; write numbers in quotes, "
                    "so that '0' and '00' differ"
                )
            if not name.isprintable():
                raise UserError(f"label {shorten(name)!r} has characters that cannot be printed; rename it")
            if len(name) > MAX_LABEL:
                raise UserError(f"label {shorten(name)!r} has more than {MAX_LABEL} characters; rename it")
        if len(set(self.names)) != len(self.names):
            twice = sorted(name for name, count in Counter(self.names).items() if count > 1)
            raise UserError(f"labels appear twice in the label map: {summarize(twice, limit=10)}; list each once")

    @classmethod
    def from_names(cls, names: Iterable[str]) -> "Labels":
        """Creates a label map from the labels of a data set, sorted by `in_order`."""
        return cls(tuple(in_order(names)))

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def class_to_idx(self) -> dict[str, int]:
        """The class index of each name."""
        return {name: index for index, name in enumerate(self.names)}

    @cached_property
    def sha256(self) -> str:
        """The hex SHA-256 of the ordered list as compact UTF-8 JSON."""
        listing = json.dumps(self.names, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(listing.encode()).hexdigest()

    def require_same(self, other: "Labels", *, here: str, there: str) -> None:
        """Raises a UserError that names the difference if another label map is not equal to this one.

        Args:
            other: label map to compare.
            here: what this map belongs to, such as "the checkpoint", for the error.
            there: what `other` belongs to.
        """
        if self != other:
            raise UserError(
                f"{there} has different labels than {here}: {self._difference(other)}; use the map of one of them"
            )

    def _difference(self, other: "Labels") -> str:
        missing = [name for name in self.names if name not in other.class_to_idx]
        added = [name for name in other.names if name not in self.class_to_idx]
        parts = []
        if missing:
            parts.append(f"without {', '.join(missing)}")
        if added:
            parts.append(f"with {', '.join(added)}")
        return " and ".join(parts) or "the same labels in a different order"

    def to_json(self) -> str:
        """Returns the content of `labels_mapping.json`."""
        content = {"labels": self.names, "class_to_idx": self.class_to_idx, "sha256": self.sha256}
        return json.dumps(content, ensure_ascii=False, indent=2) + "\n"

    def save(self, path: Path) -> None:
        """Writes `labels_mapping.json` atomically."""
        write_text(path, self.to_json())

    @classmethod
    def from_json(cls, text: str, *, where: str) -> "Labels":
        """Parses the result of `to_json`.

        Args:
            text: content of `labels_mapping.json`.
            where: name of the source, for errors.

        Raises:
            UserError: the text is not a label map, or was edited.
        """
        try:
            content = json.loads(text)
            names, class_to_idx, sha256 = content["labels"], content["class_to_idx"], content["sha256"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise UserError(
                f"{where} is not a jersey label map ({shorten(repr(error))}); use the file that a run wrote"
            ) from None
        if not isinstance(names, list):
            raise UserError(f"{where}: 'labels' is not a list; use the file that a run wrote")
        try:
            labels = cls(tuple(names))
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        if labels.sha256 != sha256 or labels.class_to_idx != class_to_idx:
            raise UserError(f"{where} was edited: its hash or class_to_idx does not match its labels; restore the file")
        return labels

    @classmethod
    def load(cls, path: Path) -> "Labels":
        """Reads and verifies a `labels_mapping.json`; raises UserError if it cannot be read or is invalid."""
        try:
            return cls.from_json(path.read_text(encoding="utf-8"), where=str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the label map {path}: {error}") from None
