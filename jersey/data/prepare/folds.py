"""Divides the crops of a source into folds for cross-validation; each fold is a data set of its own.

The crops of train and val are divided, and each is in val of at most one fold. Test is the same in all folds.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np

from jersey.core.errors import UserError, plural, summarize
from jersey.core.labels import ILLEGIBLE, SplitName, in_order
from jersey.data.audit.copies import Indices
from jersey.data.prepare.boxes import Crop, Source, order_of
from jersey.data.prepare.plan import MAX_SHOWN, Plan, with_distinct_tracklets
from jersey.data.prepare.splits import counts_of_groups

NO_FOLD = -1  # of groups that are in train of every fold


def assign_folds(groups: Mapping[int, Mapping[str, int]], folds: int, *, seed: int) -> dict[int, int]:
    """Returns the fold of each group, whose crops are val there, or `NO_FOLD`.

    The labels in the fewest groups come first, and each group goes to the fold with the fewest crops of its label. A
    label in a single group has no fold, because the train split of that fold would lack the label.

    Args:
        groups: number of crops of each label in each group.
        folds: number of folds, at least 2.
        seed: seed of the order of groups of similar size.
    """
    names = sorted(groups)
    groups_of: dict[str, list[int]] = defaultdict(list)
    for group in (names[index] for index in np.random.default_rng(seed).permutation(len(names))):
        for label in groups[group]:
            groups_of[label].append(group)
    count_of: dict[str, Counter[int]] = defaultdict(Counter)
    sizes, fold_of = Counter[int](), dict[int, int]()
    for label in sorted(in_order(groups_of), key=lambda label: len(groups_of[label])):  # ties stay in order
        queue = [group for group in groups_of[label] if group not in fold_of]
        for group in sorted(queue, key=lambda group: -groups[group][label].bit_length()):
            fold_of[group] = min(range(folds), key=lambda fold: (count_of[label][fold], sizes[fold], fold))
            for each, count in groups[group].items():
                count_of[each][fold_of[group]] += count
                sizes[fold_of[group]] += count
    for label, with_label in groups_of.items():
        if label != ILLEGIBLE and len({fold_of[group] for group in with_label}) == 1:
            # Only in train: the whole label, if it is one group, else the smallest of its groups.
            fold_of[min(with_label, key=lambda group: (sum(groups[group].values()), group))] = NO_FOLD
    return fold_of


def plan_folds(source: Source, group_N: Indices, folds: int, *, seed: int) -> list[Plan]:
    """Returns a data set for each fold.

    Args:
        source: source with N crops; notes are added.
        group_N: group of each crop, which stays in one split.
        folds: number of folds, at least 2.
        seed: seed of the assignment.

    Raises:
        UserError: there are too few groups.
    """
    pool = [row for row, crop in enumerate(source.crops) if crop.split != "test"]
    groups = [int(group_N[row]) for row in pool]
    counts = counts_of_groups([source.crops[row].label for row in pool], groups)
    fold_of = assign_folds(counts, folds, seed=seed)
    legible = Counter(fold for group, fold in fold_of.items() if counts[group].keys() - {ILLEGIBLE})
    if empty := [fold for fold in range(folds) if not legible[fold]]:
        most = folds - len(empty)
        advice = f"use --folds={most}" if most > 1 else "add crops of other tracklets or games"
        what = f"{plural(len(counts), 'group')} that must stay together"
        raise UserError(f"the crops of {source.root} are {what}, too few for {folds} folds; {advice}")
    source.crops = with_distinct_tracklets(source)
    test = [crop for crop in source.crops if crop.split == "test"]
    if alone := in_order(
        {label for group, fold in fold_of.items() if fold == NO_FOLD for label in counts[group]} - {ILLEGIBLE}
    ):
        source.notes.append(
            f"in no fold, but in train of all, as they are in one group each: {summarize(alone, limit=MAX_SHOWN)}"
        )
    if test:
        source.notes.append("test is kept, and is the same in each fold")
    plans = []
    for fold in range(folds):
        splits: dict[SplitName, list[Crop]] = {"train": [], "val": []}
        if test:
            splits["test"] = test
        for row, group in zip(pool, groups, strict=True):
            splits["val" if fold_of[group] == fold else "train"].append(source.crops[row])
        plans.append(Plan(source, {name: order_of(crops) for name, crops in splits.items()}))
    return plans


def table_of(plans: list[Plan]) -> str:
    """Returns what is not used and the notes of the source, and a line for each fold."""
    lines = [
        f"fold_{fold}: " + ", ".join(f"{len(crops):,} {name}" for name, crops in plan.splits.items())
        for fold, plan in enumerate(plans)
    ]
    return "\n".join([plans[0].remarks(), *lines])
