"""Folds that `prepare` makes: each crop is val once, nothing is torn apart, and train never lacks a label."""

from collections import Counter
from pathlib import Path

import pytest
from helpers.data_trees import save
from helpers.prepared import prepare
from hypothesis import given, settings
from hypothesis import strategies as st

from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE
from jersey.data.audit import audit_folder
from jersey.data.index import read_index
from jersey.data.prepare.folds import NO_FOLD, assign_folds

LABELS = st.sampled_from(["0", "00", "7", "23", ILLEGIBLE])


@settings(max_examples=200)
@given(
    groups=st.lists(st.dictionaries(LABELS, st.integers(1, 9), min_size=1, max_size=2), min_size=1, max_size=30),
    folds=st.integers(2, 6),
    seed=st.integers(0, 3),
)
def test_train_of_every_fold_has_every_label(groups: list[dict[str, int]], folds: int, seed: int) -> None:
    fold_of = assign_folds(dict(enumerate(groups)), folds, seed=seed)
    assert set(fold_of) == set(range(len(groups)))
    assert set(fold_of.values()) <= {NO_FOLD, *range(folds)}
    for label in {label for group in groups for label in group} - {ILLEGIBLE}:
        with_label = [group for group, counts in enumerate(groups) if label in counts]
        for fold in range(folds):
            assert any(fold_of[group] != fold for group in with_label)


@given(counts=st.dictionaries(LABELS, st.integers(2, 60), min_size=1), folds=st.integers(2, 6), seed=st.integers(0, 3))
def test_single_crops_are_divided_equally(counts: dict[str, int], folds: int, seed: int) -> None:
    labels = [label for label, count in counts.items() for _ in range(count)]
    fold_of = assign_folds({group: {label: 1} for group, label in enumerate(labels)}, folds, seed=seed)
    assert NO_FOLD not in fold_of.values()
    for label, count in counts.items():
        sizes = Counter(fold_of[group] for group, each in enumerate(labels) if each == label)
        assert all(count // folds <= sizes[fold] <= -(-count // folds) for fold in range(folds))
    total = Counter(fold_of.values())
    assert max(total.values()) - min(total[fold] for fold in range(folds)) <= len(counts)


def test_each_fold_is_a_data_set_and_tracklets_stay_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    for index in range(48):
        label, split = ("0", "00", "7")[index % 3], "test" if index >= 36 else "val" if index >= 30 else "train"
        save(root / split / label / f"play_{index // 6}" / f"{index}.png", index)
    prepare(root, out, "--folds=3", "--link")
    assert "test is kept" in capsys.readouterr().out
    val: list[str] = []
    for fold in range(3):
        folder = out / f"fold_{fold}"
        assert audit_folder(folder).errors == []
        splits = read_index(folder).splits
        names = {name: {Path(path).resolve() for path in splits[name].paths.texts} for name in splits}
        assert sum(map(len, names.values())) == len(set().union(*names.values())) == 48
        assert {path.parts[-4] for path in names["test"]} == {"test"}
        val += map(str, names["val"])
        tracklets = {name: set(splits[name].tracklets) for name in ("train", "val")}
        assert not tracklets["train"] & tracklets["val"]
    assert sorted(val) == sorted(str(path) for path in root.rglob("*.png") if "test" not in path.parts)


def test_a_number_in_one_group_stays_in_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    for index in range(12):
        save(root / ("0", "7")[index % 2] / f"{index}.png", index)
    save(root / "23" / "only.png", 50)
    prepare(root, out, "--folds=2")
    assert "as they are in one group each: 23" in capsys.readouterr().out
    for fold in range(2):
        splits = read_index(out / f"fold_{fold}").splits
        assert splits["train"].counts()["23"] == 1
        assert "23" not in splits["val"].counts()


def test_more_folds_than_groups_are_refused_with_the_number_that_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    for index in range(12):
        save(root / ("0", "7")[index % 2] / f"play_{index // 4}" / f"{index}.png", index)
    with pytest.raises(
        UserError, match=r"6 groups that must stay together, too few for 7 folds; use --folds=6"
    ) as caught:
        prepare(root, out, "--folds=7")
    assert not out.exists()
    prepare(root, out, str(caught.value).rpartition(" ")[2])
    assert len(list(out.iterdir())) == 6
    assert capsys.readouterr().out.endswith(f"\n{out} has 6 data sets\n")
    with pytest.raises(UserError, match="--folds=1 must be at least 2"):
        prepare(root, tmp_path / "other", "--folds=1")
    prepare(root, tmp_path / "dry", "--folds=3", "--dry_run")
    assert not (tmp_path / "dry").exists()
    assert capsys.readouterr().out.endswith(f"\n{tmp_path / 'dry'} would have 3 data sets\n")


@pytest.mark.parametrize(
    ("tracklets", "advice"),
    [
        ({"0": 2, "illegible": 1}, "3 groups that must stay together, too few for 3 folds; use --folds=2"),
        ({"0": 1, "7": 1, "illegible": 2}, "too few for 3 folds; add crops of other tracklets or games"),
    ],
)
def test_every_fold_needs_a_legible_crop(tmp_path: Path, tracklets: dict[str, int], advice: str) -> None:
    root = tmp_path / "set"
    for label, count in tracklets.items():
        for index in range(3 * count):
            save(root / label / f"play_{index // 3}" / f"{index}.png", len(list(root.rglob("*.png"))))
    with pytest.raises(UserError, match=advice):
        prepare(root, tmp_path / "out", "--folds=3")
    assert not (tmp_path / "out").exists()
