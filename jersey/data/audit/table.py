"""An audit as text: how many images of each label, their sizes, and the findings under the heading of their kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low

from jersey.core.errors import escape_control
from jersey.core.labels import ILLEGIBLE_NAME, in_order
from jersey.core.tables import aligned
from jersey.data.audit.findings import KINDS, Finding
from jersey.data.decode import Picture


@dataclass(frozen=True)
class Sizes:
    """Of the files of one split: least, median and greatest, and how many there are of each kind."""

    width_px: tuple[int, int, int]
    height_px: tuple[int, int, int]
    kinds: dict[str, int]

    @classmethod
    def of(cls, pictures: Iterable[Picture]) -> Sizes | None:
        """None of no pictures."""
        some = list(pictures)
        if not some:
            return None
        width_px, height_px = (
            _range(values) for values in zip(*((p.width_px, p.height_px) for p in some), strict=True)
        )
        return cls(width_px, height_px, dict(Counter(picture.kind for picture in some).most_common()))


def _range(values: Sequence[int]) -> tuple[int, int, int]:
    return min(values), median_low(values), max(values)


def count_table(counts: Mapping[str, Mapping[str, int]], unreadable: Mapping[str, int]) -> str:
    """A line for each label, a column for each split.

    Args:
        counts: images of each label, by split.
        unreadable: images without one, by split.
    """
    lines = [["label", *counts, "all"]]
    for label in in_order(label for of_split in counts.values() for label in of_split):
        lines.append([escape_control(label), *_with_sum([of_split.get(label, 0) for of_split in counts.values()])])
    lines.append(["total", *_with_sum([sum(of_split.values()) for of_split in counts.values()])])
    labels_of = [set(of_split) for of_split in counts.values()]
    lines.append(["labels", *map(_number, map(len, [*labels_of, set().union(*labels_of)]))])
    if any(unreadable.values()):
        lines.append([ILLEGIBLE_NAME, *_with_sum([unreadable[split] for split in counts])])
    return "".join(f"{line}\n" for line in aligned(lines, is_numeric=True))


def size_table(sizes: Mapping[str, Sizes | None]) -> str:
    """A line for each split with images."""
    lines = [["pixels", "width min", "median", "max", "height min", "median", "max"]]
    kinds = [""]
    for split, found in sizes.items():
        if found is not None:
            lines.append([split, *map(_number, (*found.width_px, *found.height_px))])
            kinds.append(", ".join(f"{kind} {_number(count)}" for kind, count in found.kinds.items()))
    numbers = aligned(lines, is_numeric=True)
    return "".join(f"{line}   {kind}".rstrip() + "\n" for line, kind in zip(numbers, kinds, strict=True))


def finding_lists(findings: Sequence[Finding], *, most: int) -> str:
    """The findings of each kind under a heading, at most `most` of each."""
    parts = []
    for kind, (severity, heading) in KINDS.items():
        some = [finding for finding in findings if finding.kind == kind]
        if some:
            lines = [finding.sentence for finding in some[:most]]
            lines += [f"and {len(some) - most:,} more, all in the JSON"] if len(some) > most else []
            parts.append(f"{severity}: {heading} ({len(some):,})\n" + "".join(f"  {line}\n" for line in lines))
    return "\n".join(parts)


def _with_sum(counts: Sequence[int]) -> list[str]:
    return [_number(count) for count in (*counts, sum(counts))]


def _number(count: int) -> str:
    """A dash for nothing, which is easier to spot among numbers."""
    return f"{count:,}" if count else "-"
