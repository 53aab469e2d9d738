"""Decodes the crops of a source, and groups those that must stay in one split: tracklets, frames and near duplicates.

Shapes: N crops.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

import numpy as np

from jersey.core.errors import UserError, escape_control, plural
from jersey.core.labels import ILLEGIBLE, in_order
from jersey.data.audit.copies import FINGERPRINT, CopyRule, Indices, copy_groups, fingerprint, join_groups
from jersey.data.decode import BadImage, decode_all
from jersey.data.prepare.boxes import BoxReason, Source, cut
from jersey.data.prepare.source import local_to
from jersey.data.unused import Reason, Unused


def near_duplicates(source: Source, *, margin: float, rule: CopyRule) -> Indices:
    """Decodes all crops, moves those that cannot be used to the unused ones, and finds near duplicates.

    Args:
        source: source; `crops`, `unused` and `unused_boxes` are changed.
        margin: fraction of a box that is added on each side.
        rule: when two crops count as copies.

    Returns:
        Index of the group of copies of each remaining crop [N].

    Raises:
        UserError: no image of some number can be decoded.
    """
    crops = source.crops
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, crop in enumerate(crops):
        rows_of[crop.path].append(row)
    paths = list(rows_of)
    digests_N32 = np.zeros((len(crops), 32), np.uint8)
    prints_N = np.zeros(len(crops), FINGERPRINT)
    reasons: dict[int, BoxReason] = {}

    def store(index: int, pixels_HW3: np.ndarray) -> None:
        for row in rows_of[paths[index]]:
            box = crops[row].box
            found = pixels_HW3 if box is None else cut(pixels_HW3, box, margin)
            if isinstance(found, BoxReason):
                reasons[row] = found
                continue
            prints_N[row] = fingerprint(found)
            content = hashlib.sha256(str(found.shape).encode() + found.tobytes()).digest()
            digests_N32[row] = np.frombuffer(content, np.uint8)

    _, bad = decode_all([Path(path) for path in paths], store, description="reading images")
    of_bad = [row for index in bad for row in rows_of[paths[index]]]
    reasons.update((row, BoxReason.BAD_IMAGE) for row in of_bad if crops[row].box is not None)
    bad_paths = {paths[index]: problem for index, problem in bad.items()}
    kept = [row for row, crop in enumerate(crops) if row not in reasons and crop.path not in bad_paths]
    _set_aside(source, kept, reasons, bad_paths)
    if not any(crop.label != ILLEGIBLE for crop in source.crops):
        raise _no_boxes(source)
    return copy_groups(digests_N32[kept], prints_N[kept], rule)[0]


def _set_aside(
    source: Source, kept: Sequence[int], reasons: dict[int, BoxReason], bad_paths: dict[str, BadImage]
) -> None:
    before, source.crops = source.crops, [source.crops[row] for row in kept]
    source.unused_boxes += ((f"{before[row].path}: {before[row].name}", reason) for row, reason in reasons.items())
    left = {crop.path for crop in source.crops}
    has_boxes = any(crop.box is not None for crop in before)
    lost = sorted({crop.path for crop in before} - left)
    source.unused += (Unused(path, Reason.BAD_IMAGE if path in bad_paths else Reason.NO_BOX) for path in lost)
    vanished = in_order({crop.label for crop in before} - {crop.label for crop in source.crops} - {ILLEGIBLE})
    if vanished and has_boxes:
        source.warnings.append(f"no box of {', '.join(vanished)} can be used")
    elif vanished:
        example = next(bad_paths[crop.path] for crop in before if crop.label == vanished[0])
        what = f"no image of {', '.join(map(escape_control, vanished))} can be decoded"
        raise UserError(f"{what}, as {escape_control(str(example.path))} {example.reason}; repair or remove them")


def _no_boxes(source: Source) -> UserError:
    """Returns the error of an export without a usable box of a number; other sources were refused by their reader."""
    if not source.unused_boxes:
        return UserError(f"{source.root} has no box with a number; label some")
    reason, count = Counter(reason for _, reason in source.unused_boxes).most_common(1)[0]
    example = next(place for place, each in source.unused_boxes if each == reason)
    what = f"{count:,} of {len(source.unused_boxes):,}: {reason}, such as {example}"
    return UserError(f"no box with a number in {source.root} can be used ({what}); correct the export")


def groups_of(source: Source, copies_N: Indices, pattern: str | None) -> Indices:
    """Groups the crops that must stay in one split.

    Args:
        source: source with N crops; a note is added.
        copies_N: groups of near duplicates.
        pattern: regular expression that is searched in the path of a crop below the source. Crops with an equal match,
            or an equal first group of it, belong together.

    Returns:
        Index of the group of each crop [N].

    Raises:
        UserError: the pattern is not valid, or matches nothing.
    """
    crops = source.crops
    tracklets = [(local_to(source, crop), crop.tracklet) if crop.tracklet else None for crop in crops]
    kept = [(len(set(filter(None, tracklets))), "tracklets")]
    # Boxes of one image stay together, unless they have tracklets: these would chain all frames of a game.
    images = [None if crop.box and crop.tracklet else crop.path for crop in crops]
    keys: list[Iterable[Hashable | None]] = [tracklets, images, copies_N.tolist()]
    copied = int((np.unique(copies_N, return_counts=True)[1] > 1).sum())
    kept.append((copied, "groups of near duplicates"))
    if pattern is not None:
        matched = _matches(source, pattern)
        keys.append(matched)
        kept.append((len(set(filter(None, matched))), "different matches of --group"))
    group_N = np.arange(len(crops))
    for keys_N in keys:
        first: dict[Hashable, int] = {}
        pairs = [(first.setdefault(key, row), row) for row, key in enumerate(keys_N) if key is not None]
        if pairs:
            i_P, j_P = np.array(pairs).T
            join_groups(group_N, i_P, j_P)
    if found := ", ".join(f"{count:,} {what}" for count, what in kept if count):
        source.notes.append(f"kept together: {found} ({len(np.unique(group_N)):,} groups in all)")
    return group_N


def _matches(source: Source, pattern: str) -> list[str | None]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"--group={pattern} is not a regular expression ({error}); an example is --group='game[0-9]+'"
        ) from None
    matched: list[str | None] = []
    for crop in source.crops:
        inside = crop.path.removeprefix(f"{source.root}/")
        found = compiled.search(inside)
        matched.append(None if found is None else next(filter(None, found.groups()), found[0]))
    if not any(matched):
        example = source.crops[0].path.removeprefix(f"{source.root}/")
        raise UserError(f"--group={pattern} matches no path, such as {example}; correct it, or leave it out")
    if alone := sum(each is None for each in matched):
        source.warnings.append(f"--group={pattern} does not match {plural(alone, 'path')}, so these stand alone")
    return matched
