"""The benchmark set: its documented counts, and its data sets on disk."""

import itertools
from collections import Counter
from pathlib import Path

import pytest

from jersey.core.errors import UserError
from jersey.data.index import read_splits
from jersey.data.split import label_map
from jersey.synth import benchmark
from jersey.synth.benchmark import NUMBERS, TRACKLETS, TRAIN_COUNTS, UNSEEN, UNSEEN_NUMBERS, ensure_benchmark


def test_43_numbers_have_1200_down_to_6_crops_and_the_rarest_include_both_lengths() -> None:
    assert len(set(NUMBERS)) == len(NUMBERS) == len(TRAIN_COUNTS) == 43
    assert (TRAIN_COUNTS[0], TRAIN_COUNTS[1], TRAIN_COUNTS[-1], sum(TRAIN_COUNTS)) == (1200, 890, 6, 6000)
    assert all(more >= fewer for more, fewer in itertools.pairwise(TRAIN_COUNTS))
    assert {"0", "00"} < set(NUMBERS)
    lengths = Counter(map(len, NUMBERS[-10:]))
    assert min(lengths[1], lengths[2]) >= 3


def test_every_digit_of_an_unseen_number_is_frequent_in_its_place() -> None:
    assert len(set(UNSEEN_NUMBERS)) == 8
    assert all(len(number) == 2 for number in UNSEEN_NUMBERS)
    assert not set(UNSEEN_NUMBERS) & set(NUMBERS)
    for place in (0, 1):
        crops: Counter[str] = Counter()
        for number, count in zip(NUMBERS, TRAIN_COUNTS, strict=True):
            if len(number) == 2:
                crops[number[place]] += count
        assert all(crops[number[place]] >= 60 for number in UNSEEN_NUMBERS), crops


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Reduces the number of crops, because rendering all of them takes a minute."""
    counts = {number: 1 + (number in NUMBERS[:2]) for number in NUMBERS}
    monkeypatch.setattr(benchmark, "TRAIN_COUNTS", tuple(counts.values()))
    monkeypatch.setattr(benchmark, "EVAL_CROPS", 43)
    monkeypatch.setattr(benchmark, "UNSEEN_CROPS", 16)
    monkeypatch.setattr(benchmark, "TRACKLETS_PER_NUMBER", 1)
    monkeypatch.setattr(benchmark, "FRAMES", 2)
    return counts


def test_all_data_sets_can_be_read_and_the_first_excludes_the_others(tmp_path: Path, small: dict[str, int]) -> None:
    root = tmp_path / "benchmark"
    ensure_benchmark(root, size_px=32)
    splits = read_splits(root)
    assert splits["train"].counts() == small
    assert set(splits["val"].counts().values()) == set(splits["test"].counts().values()) == {1}
    assert set(label_map(splits).names) == set(NUMBERS)
    assert not any(UNSEEN in path.relative_to(root).parts for split in splits.values() for path in split.paths)
    unseen = read_splits(root / UNSEEN)["test"]
    assert unseen.counts() == dict.fromkeys(UNSEEN_NUMBERS, 2)
    tracklets = list((root / TRACKLETS / "test").glob("*/*"))
    assert Counter(tracklet.parent.name for tracklet in tracklets) == dict.fromkeys(NUMBERS, 1)
    assert all(len(list(tracklet.iterdir())) == 2 for tracklet in tracklets)


def test_only_the_first_data_set_has_illegible_crops(tmp_path: Path, small: dict[str, int]) -> None:
    root = tmp_path / "benchmark"
    ensure_benchmark(root, size_px=32, illegible=0.1)
    found = {path.relative_to(root).parts[:-1] for path in root.rglob("*.jpg") if "illegible" in path.parts}
    assert found == {(split, "illegible") for split in ("train", "val", "test")}
    with pytest.raises(UserError, match=r"illegible=0\.1"):
        ensure_benchmark(root, size_px=32)


def test_an_interrupted_second_data_set_is_completed_and_finished_ones_are_kept(
    tmp_path: Path, small: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, real = tmp_path / "benchmark", benchmark.generate

    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark, "generate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ensure_benchmark(root, size_px=32)
    monkeypatch.setattr(benchmark, "generate", real)
    ensure_benchmark(root, size_px=32)
    made = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert (root / UNSEEN / "test").is_dir()
    ensure_benchmark(root, size_px=32)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == made
    with pytest.raises(UserError, match="size_px=32"):
        ensure_benchmark(root, size_px=40)


def test_existing_crops_of_other_origin_are_not_changed(tmp_path: Path) -> None:
    mine = tmp_path / "train" / "7" / "mine.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"precious")
    ensure_benchmark(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
