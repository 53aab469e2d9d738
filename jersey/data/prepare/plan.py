"""Decides the split of every crop of a source: as in the source, or by fractions."""

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jersey.core.errors import UserError, escape_control, plural, summarize
from jersey.core.labels import ILLEGIBLE, SPLITS, SplitName, in_order
from jersey.data.audit.copies import Indices
from jersey.data.audit.survey import count_table
from jersey.data.prepare.boxes import Crop, Source, order_of
from jersey.data.prepare.source import local_to
from jersey.data.prepare.splits import assign, counts_of_groups
from jersey.data.split import Paths, Split, label_map
from jersey.data.unused import unused_table, unused_warnings

MAX_SHOWN = 12  # labels in one sentence


@dataclass(frozen=True)
class Plan:
    """What is to be written.

    Attributes:
        source: source of the crops.
        splits: crops of each split, in the order of an index; without test if it has no crops.
    """

    source: Source
    splits: Mapping[SplitName, Sequence[Crop]]

    def text(self) -> str:
        """Returns the table of crops by label and split, what is not used, notes and warnings."""
        counts: dict[str, Counter[str]] = {
            split: Counter(crop.label for crop in self.splits.get(split, ())) for split in SPLITS
        }
        illegible = {split: of_split.pop(ILLEGIBLE, 0) for split, of_split in counts.items()}
        return "\n".join([count_table(counts, illegible), self.remarks(self._lacking(counts))])

    def remarks(self, more_notes: Sequence[str] = ()) -> str:
        """Returns notes, what is not used, and warnings."""
        source, root = self.source, str(self.source.root)
        warnings = [*source.warnings, *unused_warnings(source.unused, root)]
        tables = (
            "".join(f"{escape_control(note)}\n" for note in [*source.notes, *more_notes]),
            unused_table(source.unused, root),
            unused_table(source.unused_boxes, root, title="Boxes not used", unit="boxes"),
            "".join(f"warning: {escape_control(warning)}\n" for warning in warnings),
        )
        return "\n".join(filter(None, tables))

    def _lacking(self, counts: Mapping[str, Mapping[str, int]]) -> list[str]:
        found = []
        for split in self.splits:
            if lacking := [label for label in in_order(counts["train"]) if not counts[split].get(label)]:
                found.append(
                    f"{split} has no crop of {plural(len(lacking), 'label')}: {summarize(lacking, limit=MAX_SHOWN)}"
                )
        return found


def parse_fractions(text: str) -> tuple[float, float, float]:
    """Parses `--fractions`; raises UserError unless they are three that sum to 1, of which only the last may be 0."""
    try:
        train, val, test = map(float, text.split(","))
    except ValueError:
        train = val = test = math.nan
    if not (train > 0 and val > 0 and test >= 0 and abs(train + val + test - 1) < 1e-6):
        what = "must be the fractions of train, val and test, which sum to 1"
        raise UserError(f"--fractions={text} {what}; only that of test may be 0, as in --fractions=0.8,0.2,0")
    return train, val, test


def is_kept(source: Source) -> bool:
    """Returns whether the crops have splits that can stay: train and another one."""
    present = {crop.split for crop in source.crops}
    return "train" in present and len(present) > 1


def make_plan(
    source: Source, group_N: Indices, fractions: tuple[float, float, float], *, seed: int, resplit: bool
) -> Plan:
    """Decides the split of every crop.

    Args:
        source: source with N crops; notes and warnings are added.
        group_N: group of each crop, which stays in one split unless the source has splits that are kept.
        fractions: fractions of train, val and test, of those splits that are not kept.
        seed: seed of the assignment.
        resplit: whether existing splits are not kept.

    Raises:
        UserError: the crops cannot be split, or a run would refuse the splits.
    """
    crops, groups = source.crops, group_N.tolist()
    present = [split for split in SPLITS if split in {crop.split for crop in crops}]
    if resplit or not is_kept(source):
        if present:
            source.notes.append(f"split anew: the source has {' and '.join(present)}")
        split_of = _split_of(crops, groups, fractions, seed=seed, source=source)
        source.crops = with_distinct_tracklets(source)
    elif "val" not in present:
        of_train = [row for row, crop in enumerate(crops) if crop.split == "train"]
        train_groups = [groups[row] for row in of_train]
        two = _without_test(fractions)
        parts = iter(_split_of([crops[row] for row in of_train], train_groups, two, seed=seed, source=source))
        split_of = [next(parts) if crop.split == "train" else "test" for crop in crops]
        source.notes.append("test is kept, and val is taken out of train; --resplit splits all crops anew")
    else:
        split_of = [crop.split or "train" for crop in crops]
        source.notes.append(f"{' and '.join(present)} are kept; --resplit splits all crops anew")
    _warn_of_leakage(source, groups, split_of)
    splits: dict[SplitName, Sequence[Crop]] = {
        name: order_of(crop for crop, split in zip(source.crops, split_of, strict=True) if split == name)
        for name in SPLITS
        if name in split_of
    }
    label_map({name: _as_split(name, of_split) for name, of_split in splits.items()})
    return Plan(source, splits)


def _split_of(
    crops: Sequence[Crop],
    groups: Sequence[int],
    fractions: tuple[float, float, float],
    *,
    seed: int,
    source: Source,
) -> list[SplitName]:
    """Returns the split of each crop by fractions; there is no test if no label has crops for it."""
    counts = counts_of_groups([crop.label for crop in crops], groups)
    legible = [group for group, of_group in counts.items() if of_group.keys() - {ILLEGIBLE}]
    wanted = sum(fraction > 0 for fraction in fractions)
    if len(legible) < wanted:
        raise _too_few(len(legible), wanted, source)
    index_of = assign(counts, fractions, seed=seed)
    filled = {index_of[group] for group in legible}
    if 2 not in filled and wanted == 3:
        source.notes.append("no test split: no number has crops in three groups")
        return _split_of(crops, groups, _without_test(fractions), seed=seed, source=source)
    if 1 not in filled:
        raise UserError(
            f"val would be empty: each number of {source.root} has crops in one group only, or shares it with others; "
            "add crops of other tracklets or games"
        )
    return [SPLITS[index_of[group]] for group in groups]


def _without_test(fractions: tuple[float, float, float]) -> tuple[float, float, float]:
    train, val, _ = fractions
    return train / (train + val), val / (train + val), 0.0


def _too_few(groups: int, splits: int, source: Source) -> UserError:
    what = f"the crops of {source.root} are {plural(groups, 'group')} that must stay together, for {splits} splits"
    if groups == 2:
        return UserError(f"{what}; --fractions=0.8,0.2,0 makes two splits")
    return UserError(f"{what}; add crops of other tracklets or games, or let --group match more of their paths")


def with_distinct_tracklets(source: Source) -> list[Crop]:
    """Returns the crops; tracklets with one number in different splits of the source get the name of the split too."""
    tops_of: dict[str, set[str]] = defaultdict(set)
    for crop in source.crops:
        tops_of[crop.tracklet].add(local_to(source, crop))
    return [
        dataclasses.replace(crop, tracklet=f"{local_to(source, crop)}/{crop.tracklet}")
        if crop.tracklet and len(tops_of[crop.tracklet]) > 1
        else crop
        for crop in source.crops
    ]


def _warn_of_leakage(source: Source, groups: Sequence[int], split_of: Sequence[SplitName]) -> None:
    rows_of: dict[int, dict[str, int]] = defaultdict(dict)
    for row, (group, split) in enumerate(zip(groups, split_of, strict=True)):
        rows_of[group].setdefault(split, row)
    torn = [rows for rows in rows_of.values() if len(rows) > 1]
    if torn:
        paths = [source.crops[row].path.removeprefix(f"{source.root}/") for row in torn[0].values()]
        what = f"{plural(len(torn), 'group')} of tracklets or near duplicates in several splits, such as"
        source.warnings.append(f"{what} {' and '.join(paths[:2])}; --resplit keeps each in one")


def _as_split(name: SplitName, crops: Sequence[Crop]) -> Split:
    paths, labels, tracklets = zip(*((crop.path, crop.label, crop.tracklet) for crop in crops), strict=True)
    return Split(name, Paths(paths), labels, tracklets)
