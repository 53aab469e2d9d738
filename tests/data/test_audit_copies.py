"""The audit finds exactly the planted copies, in both layouts; its search agrees with brute force."""

from pathlib import Path

import numpy as np
import pytest
from helpers.dirty_tree import COPIES, LAYOUTS, Layout, Tree, crop, encoded
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jersey.core.errors import UserError
from jersey.data.audit import Audit, audit_folder
from jersey.data.audit import copies as search
from jersey.data.audit.copies import (
    FINGERPRINT,
    MAX_DISTANCE,
    THUMB_PX,
    CopyRule,
    copy_groups,
    fingerprint,
    is_same_image,
    join_groups,
    near_pairs,
)

PLACES = {
    "duplicates": (("train", "01"), ("train", "01")),
    "split_leakage": (("val", "0"), ("test", "0")),
    "conflicting_copies": (("train", "0"), ("train", "00")),
}


def groups(audit: Audit, kind: str) -> set[frozenset[str]]:
    return {frozenset(row.image for row in each.rows) for each in audit.findings if each.kind == kind}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_planted_copy_is_found_and_nothing_else(tmp_path: Path, layout: Layout) -> None:
    tree, planted = Tree(tmp_path, layout).fill(), {kind: set() for kind in PLACES}
    for number, copy in enumerate(COPIES.values()):
        for place, (kind, (first, second)) in enumerate(PLACES.items()):
            image = crop(first[1], seed=10 * number + place)
            rows = tree.add(*first, encoded(image, quality=90)), tree.add(*second, copy(image))
            planted[kind].add(frozenset(row.image for row in rows))
    audit = audit_folder(tmp_path)
    assert {kind: groups(audit, kind) for kind in PLACES} == planted
    assert {each.kind for each in audit.findings} == set(PLACES)
    assert audit.errors == [], "a run accepts copies"


@pytest.mark.parametrize(
    ("second", "copy", "kind", "words"),
    [
        (("train", "0"), "same bytes", "duplicates", "2 files, byte for byte)"),
        (("train", "0"), "half", "duplicates", "2 files, nearly the same)"),
        (("train", "0"), "mirrored half", "duplicates", "2 files, mirrored)"),
        (("test", "00"), "same bytes", "conflicting_copies", "0 and 00 in train and test"),
    ],
)
def test_the_sentence_names_the_places_of_the_copies_and_how_similar_they_are(
    tmp_path: Path, second: tuple[str, str], copy: str, kind: str, words: str
) -> None:
    tree, image = Tree(tmp_path, "folders").fill(), crop("00", 202)
    tree.add("train", "0", encoded(image, quality=90)), tree.add(*second, COPIES[copy](image))
    (found,) = audit_folder(tmp_path).findings
    assert found.kind == kind
    assert words in found.sentence


def test_many_copies_of_one_image_are_one_finding_with_few_names(tmp_path: Path) -> None:
    tree, image = Tree(tmp_path, "annotations").fill(), crop("01", 203)
    rows = [tree.add("train", "01", encoded(image, quality=quality)) for quality in range(30, 96)]
    rows += [tree.add("val", "01", encoded(image, quality=90)) for _ in range(20)]
    (found,) = audit_folder(tmp_path).findings
    assert set(found.rows) == set(rows)
    assert len(found.sentence) < 250
    for words in (f"{len(rows)} files", rows[0].image, rows[-20].image):
        assert words in found.sentence


@pytest.mark.parametrize("seed", [207, 209])
def test_the_same_scene_with_a_difference_in_one_place_is_not_a_copy(tmp_path: Path, seed: int) -> None:
    tree, scene = Tree(tmp_path, "folders").fill(), crop("0", seed)
    other, side_px, corner_px = scene.copy(), scene.width // 6, scene.width * 3 // 8
    other.paste((255, 255, 255), (corner_px, corner_px, corner_px + side_px, corner_px + side_px))
    tree.add("train", "0", encoded(scene, quality=90)), tree.add("train", "01", encoded(other, quality=90))
    assert audit_folder(tmp_path).findings == ()
    hashes = [fingerprint(np.asarray(image))[0] for image in (scene, other)]
    assert (hashes[0] ^ hashes[1]).bit_count() <= MAX_DISTANCE, "otherwise the thumbnails were never compared"


def test_uniform_images_are_distinguished_by_their_color(tmp_path: Path) -> None:
    tree, expected = Tree(tmp_path, "folders").fill(), set()
    for color in ("black", "white", "red", "blue"):
        pair = [encoded(Image.new("RGB", (side, side), color), quality=90) for side in (40, 60)]
        expected.add(frozenset(tree.add("train", "0", content).image for content in pair))
    assert groups(audit_folder(tmp_path), "duplicates") == expected


def test_the_mirrored_hash_is_the_hash_of_the_mirrored_image_of_any_size() -> None:
    tiny = [np.full((height, width, 3), 200, np.uint8) for height, width in ((1, 1), (1, 300), (7, 3))]
    for image_HWC in [*tiny, *(np.asarray(crop("01", seed)) for seed in range(20))]:
        assert fingerprint(image_HWC)[1] == fingerprint(np.ascontiguousarray(image_HWC[:, ::-1]))[0] < 2**64


hashes = st.lists(st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 3, 7, 2**64 - 1]), max_size=40)


@given(left=hashes, right=hashes, distance=st.integers(0, 64), tile=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_near_pairs_agree_with_brute_force(
    left: list[int], right: list[int], distance: int, tile: tuple[int, int]
) -> None:
    count = min(len(left), len(right))
    arrays = [np.array(values[:count], np.uint64) for values in (left, right)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "TILE_ROWS", tile[0])
        patch.setattr(search, "TILE_COLUMNS", tile[1])
        tiles = list(near_pairs(*arrays, max_distance=distance))
    found = [pair for i, j in tiles for pair in zip(i.tolist(), j.tolist(), strict=True)]
    pairs = [(i, j) for j in range(count) for i in range(j)]
    assert sorted(found) == sorted((i, j) for i, j in pairs if (left[i] ^ right[j]).bit_count() <= distance)


@given(st.lists(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=20), max_size=5))
def test_joined_groups_agree_with_merging_pair_by_pair(batches: list[list[tuple[int, int]]]) -> None:
    group_M, expected = np.arange(30), [{item} for item in range(30)]
    for batch in batches:
        pairs_P2 = np.array(batch, dtype=np.intp).reshape(-1, 2)
        join_groups(group_M, pairs_P2[:, 0], pairs_P2[:, 1])
        for i, j in batch:
            merged = expected[i] | expected[j]
            for item in merged:
                expected[item] = merged
    assert [set(np.flatnonzero(group_M == group).tolist()) for group in group_M] == expected


def mirrored_chain() -> np.ndarray:
    """Three images: the second resembles the mirrored versions of the other two, which do not resemble each other."""
    bright_TTC = np.random.default_rng(0).choice([60, 180], (16, 16, 1)).repeat(3, axis=2)
    prints_3 = np.zeros(3, FINGERPRINT)
    prints_3["thumb_TTC"] = np.stack([bright_TTC, (bright_TTC + 20)[:, ::-1], bright_TTC + 40])
    return prints_3


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (CopyRule(), [0, 0, 2]),
        (CopyRule(mirrored=False), [0, 1, 2]),
        (CopyRule(max_difference=0.2), [0, 1, 2]),
        (CopyRule(max_difference=0.9), [0, 0, 0]),
    ],
)
def test_groups_never_chain_through_mirrored_pairs(rule: CopyRule, expected: list[int]) -> None:
    digests_N32 = np.arange(3, dtype=np.uint8)[:, None].repeat(32, axis=1)
    group_N, mirrored = copy_groups(digests_N32, mirrored_chain(), rule)
    assert group_N.tolist() == expected
    assert mirrored == ({0} if 0 in expected[1:] else set())


@pytest.mark.parametrize("value", [0.0, -1.0, 1.5, float("nan")])
def test_a_maximum_difference_out_of_range_is_rejected(value: float) -> None:
    with pytest.raises(UserError, match="--max_difference="):
        CopyRule(max_difference=value)


def test_a_difference_must_be_spread_out_over_both_axes() -> None:
    """A row of pixels, or a column, is spread over four cells of a thumbnail; an equal area in one cell is not."""
    first_TTC = np.random.default_rng(0).integers(0, 200, (THUMB_PX, THUMB_PX, 3), dtype=np.uint8)
    changed_PTTC = np.stack([first_TTC] * 3)
    changed_PTTC[0, 5] += 50
    changed_PTTC[1, :, 5] += 50
    changed_PTTC[2, :4, :4] += 50
    same_P = is_same_image(np.stack([first_TTC] * 3), changed_PTTC, max_difference=1.0)
    assert same_P.tolist() == [True, True, False]
