"""Assigns groups of crops to train, val and test, stratified by label, without tearing a group apart.

It is iterative stratification (https://doi.org/10.1007/978-3-642-23808-6_10) with whole groups: the labels in the
fewest groups come first, and each group goes where the largest part of the crops of its label is missing.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from jersey.core.labels import ILLEGIBLE, in_order

TRAIN = 0  # index of the split that has to have every label


def quotas(count: int, fractions: Sequence[float], carried: Sequence[float] = (0.0, 0.0, 0.0)) -> list[int]:
    """Returns the number of crops of a label for each split.

    Each number is the exact one, rounded up or down, but few crops go to train first, then to val, then to test.

    Args:
        count: number of crops of the label.
        fractions: fraction of each split; they sum to 1.
        carried: crops that each split lacks by the rounding of other labels, which decides about rounding up.
    """
    exact = [round(count * fraction, 9) for fraction in fractions]
    found = [int(each) for each in exact]
    wanted = [split for split, fraction in enumerate(fractions) if fraction > 0]
    by_remainder = sorted(wanted, key=lambda split: found[split] - exact[split] - carried[split])
    # Only a split whose exact number is not whole is rounded up.
    open_splits = [split for split in by_remainder if exact[split] > found[split]]
    for split in open_splits[: count - sum(found)]:
        found[split] += 1
    for split in wanted[:count]:
        if not found[split]:
            found[found.index(max(found))] -= 1
            found[split] = 1
    return found


def assign(groups: Mapping[int, Mapping[str, int]], fractions: Sequence[float], *, seed: int) -> dict[int, int]:
    """Returns the index of the split of each group.

    Every legible label is in train. A label in two groups is in val too, and one in three groups in all three splits,
    unless its groups are needed in train for another label.

    Args:
        groups: number of crops of each label in each group.
        fractions: fraction of train, val and test; they sum to 1, and only that of test may be 0.
        seed: seed of the order of groups of similar size.
    """
    names = sorted(groups)
    order = [names[index] for index in np.random.default_rng(seed).permutation(len(names))]
    groups_of: dict[str, list[int]] = defaultdict(list)
    for group in order:
        for label in groups[group]:
            groups_of[label].append(group)
    labels = sorted(in_order(groups_of), key=lambda label: len(groups_of[label]))  # ties stay in order
    missing = _missing(groups, groups_of, labels, fractions)
    present: dict[str, set[int]] = defaultdict(set)
    split_of: dict[int, int] = {}
    for label in labels:
        # Large groups come first, as small ones fill up what these leave; those of similar size are in random order.
        queue = [group for group in groups_of[label] if group not in split_of]
        queue.sort(key=lambda group: -groups[group][label].bit_length())
        for position, group in enumerate(queue):
            size, left = groups[group][label], len(queue) - position
            split = _split_for(size, left, present[label], missing[label], fractions)
            split_of[group] = split
            for each, count in groups[group].items():
                missing[each][split] -= count
                present[each].add(split)
    _complete_train(groups, groups_of, split_of)
    return split_of


def _missing(
    groups: Mapping[int, Mapping[str, int]],
    groups_of: Mapping[str, Sequence[int]],
    labels: Sequence[str],
    fractions: Sequence[float],
) -> dict[str, list[int]]:
    """Returns the number of crops of each label that each split should get."""
    carried, missing = [0.0] * len(fractions), {}
    for label in labels:
        count = sum(groups[group][label] for group in groups_of[label])
        missing[label] = quotas(count, fractions, carried)
        carried = [
            before + count * fraction - quota
            for before, fraction, quota in zip(carried, fractions, missing[label], strict=True)
        ]
    return missing


def _split_for(
    size: int, left: int, present: Collection[int], missing: Sequence[int], fractions: Sequence[float]
) -> int:
    """Returns the split of the next group of a label.

    Args:
        size: number of crops of the label in the group.
        left: number of groups of the label that have no split yet.
        present: splits that have the label.
        missing: number of crops of the label that each split should still get.
        fractions: fraction of each split.
    """
    wanted = [split for split, fraction in enumerate(fractions) if fraction > 0]
    without = [split for split in wanted if split not in present]
    if left <= len(without):
        return without[0]
    # Relative to its fraction, so that each split gets groups of all sizes, and not the smallest ones only.
    if fitting := [split for split in wanted if missing[split] >= size]:
        return max(fitting, key=lambda split: (missing[split] / fractions[split], -split))
    return max(wanted, key=lambda split: (missing[split], -split))


def _complete_train(
    groups: Mapping[int, Mapping[str, int]], groups_of: Mapping[str, Sequence[int]], split_of: dict[int, int]
) -> None:
    """Moves groups to train until it has every legible label; a run refuses other labels in val and test."""
    for label, with_label in groups_of.items():
        if label != ILLEGIBLE and all(split_of[group] != TRAIN for group in with_label):
            split_of[min(with_label, key=lambda group: (sum(groups[group].values()), group))] = TRAIN


def counts_of_groups(labels: Sequence[str], group_N: Sequence[int]) -> dict[int, Counter[str]]:
    """Returns the number of crops of each label in each group.

    Args:
        labels: label of each of N crops.
        group_N: group of each crop.
    """
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for label, group in zip(labels, group_N, strict=True):
        counts[group][label] += 1
    return counts
