"""Splits that `prepare` makes: every crop in one, nothing torn apart, and the right number of each label."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers import dirty_tree
from helpers.data_trees import NUMBERS, save
from helpers.dirty_tree import COPIES, encoded
from helpers.prepared import prepare
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE
from jersey.data.audit import audit_folder
from jersey.data.index import read_index
from jersey.data.prepare.boxes import Crop, Source
from jersey.data.prepare.grouping import groups_of
from jersey.data.prepare.plan import make_plan
from jersey.data.prepare.splits import assign, quotas

FRACTIONS = st.sampled_from(
    [(0.7, 0.15, 0.15), (0.8, 0.2, 0.0), (0.5, 0.25, 0.25), (0.98, 0.01, 0.01), (0.1, 0.6, 0.3)]
)


@given(count=st.integers(0, 500), fractions=FRACTIONS)
def test_a_quota_is_the_exact_number_rounded_except_for_few_crops(count: int, fractions: Sequence[float]) -> None:
    found = quotas(count, fractions)
    assert sum(found) == count
    wanted = [fraction > 0 for fraction in fractions]
    assert [each > 0 for each in found] == [is_wanted and sum(wanted[:i]) < count for i, is_wanted in enumerate(wanted)]
    if count * min(filter(None, fractions)) >= 1:
        assert all(abs(each - count * fraction) < 1 for each, fraction in zip(found, fractions, strict=True))


@given(
    counts=st.dictionaries(st.sampled_from(["00", ILLEGIBLE, *map(str, range(30))]), st.integers(1, 60), min_size=1),
    fractions=FRACTIONS,
    seed=st.integers(0, 3),
)
def test_single_crops_meet_the_quotas_of_each_label_and_of_all(
    counts: dict[str, int], fractions: tuple[float, float, float], seed: int
) -> None:
    labels = [label for label, count in counts.items() for _ in range(count)]
    split_of = assign({group: {label: 1} for group, label in enumerate(labels)}, fractions, seed=seed)
    for label, count in counts.items():
        found = Counter(split_of[group] for group, each in enumerate(labels) if each == label)
        wanted = [fraction > 0 for fraction in fractions]
        for split, fraction in enumerate(fractions):
            assert (found[split] > 0) == (wanted[split] and sum(wanted[:split]) < count)
            if count * min(filter(None, fractions)) >= 1:
                assert abs(found[split] - count * fraction) < 1
    if all(count * min(filter(None, fractions)) >= 1 for count in counts.values()):
        total = Counter(split_of.values())
        for split, fraction in enumerate(fractions):
            assert abs(total[split] - len(labels) * fraction) < 2, "the rounding of labels does not add up"


def test_each_split_gets_tracklets_of_all_lengths() -> None:
    sizes = np.random.default_rng(0).integers(1, 65, 3000).tolist()
    split_of = assign({group: {"7": size} for group, size in enumerate(sizes)}, (0.7, 0.15, 0.15), seed=0)
    of_split = [[size for group, size in enumerate(sizes) if split_of[group] == split] for split in range(3)]
    for some, fraction in zip(of_split, (0.7, 0.15, 0.15), strict=True):
        assert abs(sum(some) - fraction * sum(sizes)) < 65
        assert abs(np.mean(some) - np.mean(sizes)) < 3


GROUPS = st.lists(
    st.dictionaries(st.sampled_from(["0", "00", "7", ILLEGIBLE]), st.integers(1, 40), min_size=1, max_size=2),
    min_size=1,
    max_size=25,
)


SHARED = [{"0": 1, "00": 1}, {"7": 1, "00": 1}, {"0": 40}, {"7": 40}]  # 00 is in train only if a group is moved there


@given(groups=GROUPS, fractions=FRACTIONS, seed=st.integers(0, 3))
@example(groups=SHARED, fractions=(0.7, 0.15, 0.15), seed=0)
def test_every_label_is_in_train_and_in_as_many_splits_as_its_groups_allow(
    groups: list[dict[str, int]], fractions: tuple[float, float, float], seed: int
) -> None:
    split_of = assign(dict(enumerate(groups)), fractions, seed=seed)
    assert sorted(split_of) == list(range(len(groups)))
    assert all(fractions[split] > 0 for split in split_of.values())
    of_label: dict[str, list[int]] = defaultdict(list)
    for group, counts in enumerate(groups):
        for label in counts:
            of_label[label].append(group)
    for label, with_label in of_label.items():
        present = {split_of[group] for group in with_label}
        assert 0 in present or label == ILLEGIBLE
        if all(len(groups[group]) == 1 for group in with_label):  # no other label needs them
            assert len(present) == min(len(with_label), sum(fraction > 0 for fraction in fractions))


def test_the_seed_chooses_among_groups_and_the_order_of_the_input_does_not(tmp_path: Path) -> None:
    groups = {group: {str(group % 3): 1} for group in range(60)}
    first = assign(groups, (0.7, 0.15, 0.15), seed=0)
    assert assign(dict(reversed(groups.items())), (0.7, 0.15, 0.15), seed=0) == first
    assert assign(groups, (0.7, 0.15, 0.15), seed=1) != first


CROPS = st.lists(
    st.tuples(
        st.sampled_from(["0", "00", "7", ILLEGIBLE]),
        st.sampled_from(["", "", "a", "b", "c", "4"]),  # tracklet
        st.integers(0, 12),  # game
        st.integers(0, 40),  # group of copies
        st.sampled_from([None, "train", "val", "test"]),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=300)
@given(rows=CROPS, fractions=FRACTIONS, has_splits=st.booleans(), resplit=st.booleans(), by_game=st.booleans())
def test_every_crop_is_in_one_split_and_no_group_is_torn_apart(
    rows: list[tuple[str, str, int, int, str | None]],
    fractions: tuple[float, float, float],
    has_splits: bool,
    resplit: bool,
    by_game: bool,
) -> None:
    source = Source(Path("/set"))
    for index, (label, tracklet, game, _, split) in enumerate(rows):
        place = f"{split or 'train'}/" if has_splits else ""
        path = f"/set/{place}game{game}_{index}.png"
        name = (split or "train") if has_splits else None
        source.crops.append(Crop(path, label, tracklet, name, path.rpartition("/")[2]))  # type: ignore[arg-type]
    group_N = groups_of(source, np.array([row[3] for row in rows]), r"(game\d+)_" if by_game else None)
    try:
        plan = make_plan(source, group_N, fractions, seed=0, resplit=resplit)
    except UserError as error:
        known = "must stay together|val would be empty|fewer than two classes|labels that the train split lacks"
        if not re.search(known, str(error)):
            raise
        return
    placed = {crop.path: split for split, crops in plan.splits.items() for crop in crops}
    assert sum(map(len, plan.splits.values())) == len(placed) == len(rows)
    before = {crop.split for crop in source.crops}
    is_kept = not resplit and "train" in before and len(before) > 1
    # Val may be taken out of train; what is kept stays, torn or not.
    movable = [crop for crop in source.crops if not is_kept or (crop.split == "train" and "val" not in before)]
    assert all(placed[crop.path] == crop.split for crop in source.crops if crop not in movable)
    assert not is_kept or all(placed[crop.path] in ("train", "val") for crop in movable)
    splits_of: dict[object, set[str]] = defaultdict(set)
    for (_, tracklet, game, copies, _), crop in zip(rows, source.crops, strict=True):
        keys: list[object] = [("copies", copies)]
        keys += [("game", game)] if by_game else []
        if tracklet:  # a number is local to the split of the source
            keys.append(("tracklet", tracklet, crop.split if tracklet.isdecimal() else ""))
        for key in keys if crop in movable else ():
            splits_of[key].add(placed[crop.path])
    assert all(len(splits) == 1 for splits in splits_of.values())
    train = {crop.label for crop in plan.splits["train"]}
    assert all({crop.label for crop in crops} - {ILLEGIBLE} <= train for crops in plan.splits.values())


def test_tracklets_and_near_duplicates_stay_together_on_disk(tmp_path: Path) -> None:
    kinds = list(COPIES)
    for position, number in enumerate(("0", "00", "7")):
        for index in range(12):
            image = dirty_tree.crop(number, 100 * position + index)
            folder = tmp_path / "set" / number / (f"tracklet{index // 3}" if index < 6 else "")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{index}.jpg").write_bytes(encoded(image, quality=90))
            if index in (0, 6, 7, 8):
                copied = COPIES[kinds[(4 * position + index) % len(kinds)]](image)
                (tmp_path / "set" / number / f"copy{index}.jpg").write_bytes(copied)
    for seed in range(3):
        out = tmp_path / f"out{seed}"
        prepare(tmp_path / "set", out, f"--seed={seed}", "--fractions=0.4,0.3,0.3")
        kinds_found = Counter(each.kind for each in audit_folder(out).findings)
        assert kinds_found["split_leakage"] == 0
        assert kinds_found["duplicates"] == 12, "the audit finds all copies, in one split each"
        splits_of: dict[str, set[str]] = defaultdict(set)
        for split in read_index(out).splits.values():
            for tracklet in filter(None, split.tracklets):
                splits_of[tracklet].add(split.name)
        assert len(splits_of) == 6
        assert all(len(splits) == 1 for splits in splits_of.values())


def test_splits_are_kept_completed_or_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, count in (("train", 10), ("val", 3), ("test", 2)):
        for position, number in enumerate(NUMBERS):
            for index in range(count):
                save(
                    tmp_path / "set" / split / number / f"{split}{index}.png", len(split) * 1000 + 10 * position + index
                )

    def counts(name: str, *flags: str) -> list[int]:
        prepare(tmp_path / "set", tmp_path / name, *flags)
        return [len(split) for split in read_index(tmp_path / name).splits.values()]

    assert counts("kept") == [40, 12, 8]
    assert "are kept; --resplit splits all crops anew" in capsys.readouterr().out
    assert counts("anew", "--resplit", "--fractions=0.6,0.2,0.2") == [36, 12, 12]
    assert "split anew: the source has train and val and test" in capsys.readouterr().out
    (tmp_path / "set" / "val").rename(tmp_path / "val")
    assert counts("completed", "--fractions=0.6,0.2,0.2") == [30, 10, 8]
    assert "val is taken out of train" in capsys.readouterr().out
    names = {path.name for path in read_index(tmp_path / "completed").splits["test"].paths}
    assert names == {"test0.png", "test1.png"}
    (tmp_path / "set" / "train").rename(tmp_path / "train")
    (tmp_path / "val").rename(tmp_path / "set" / "val")
    assert sum(counts("without train")) == 20
    assert "split anew: the source has val and test" in capsys.readouterr().out


def test_a_leak_of_kept_splits_is_a_warning_and_resplit_removes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for position, number in enumerate(NUMBERS):
        for index in range(6):
            save(tmp_path / "set" / "train" / number / f"{index}.png", 10 * position + index)
        for index in range(2):
            save(tmp_path / "set" / "val" / number / "game1_p7" / f"{index}.png", 500 + 10 * position + index)
        save(tmp_path / "set" / "val" / number / "copy.png", 10 * position)
        save(tmp_path / "set" / "train" / number / "game1_p7" / "next.png", 600 + position)
    prepare(tmp_path / "set", tmp_path / "kept")
    assert "warning: 8 groups of tracklets or near duplicates in several splits, such as" in capsys.readouterr().out
    prepare(tmp_path / "set", tmp_path / "anew", "--resplit", "--fractions=0.5,0.25,0.25")
    assert "in several splits" not in capsys.readouterr().out
    assert not [each for each in audit_folder(tmp_path / "anew").findings if each.kind == "split_leakage"]
    of_tracklet = [
        {
            split.name
            for split in read_index(tmp_path / "anew").splits.values()
            if f"{number}/game1_p7" in split.tracklets
        }
        for number in NUMBERS
    ]
    assert all(len(splits) == 1 for splits in of_tracklet)


def test_numbers_that_are_too_rare_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for count, number in enumerate(("0", "00", "7", "23"), start=1):
        for index in range(count):
            save(tmp_path / "set" / number / f"{index}.png", 10 * count + index)
    prepare(tmp_path / "set", tmp_path / "out")
    output = capsys.readouterr().out
    assert "val has no crop of 1 label: 0\n" in output
    assert "test has no crop of 2 labels: 0, 00\n" in output
    splits = read_index(tmp_path / "out").splits
    assert splits["train"].counts() == {"0": 1, "00": 1, "7": 1, "23": 2}


@pytest.mark.parametrize("seed", range(5))
def test_small_groups_fill_up_what_large_ones_leave(seed: int) -> None:
    sizes = [16] * 10 + [1] * 40
    fractions = (0.7, 0.15, 0.15)
    split_of = assign({group: {"7": size} for group, size in enumerate(sizes)}, fractions, seed=seed)
    crops = Counter(dict.fromkeys(range(3), 0))
    for group, split in split_of.items():
        crops[split] += sizes[group]
    assert [crops[split] for split in range(3)] == pytest.approx([200 * fraction for fraction in fractions], abs=1)
