"""Links in a data set to files outside it are counted once, and refused on request; all other links are not."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import data_trees as trees
from helpers.prepared import prepare

from jersey.core.errors import UserError
from jersey.data.audit import audit_folder
from jersey.data.datamodule import JerseyDataModule
from jersey.data.index import read_index

CROP = "train/7/7_0.png"
OUTSIDE = "links to files outside the folder"


def moved_out(root: Path, name: str) -> Path:
    """Moves a file or folder of the data set outside it."""
    outside = root.with_name("outside")
    shutil.move(root / name, outside)
    return outside


def link_of_a_file(root: Path) -> None:
    (root / CROP).symlink_to(moved_out(root, CROP))


def relative_link(root: Path) -> None:
    (root / CROP).symlink_to(os.path.relpath(moved_out(root, CROP), (root / CROP).parent))


def link_of_a_folder(root: Path) -> None:
    (root / "train" / "7").symlink_to(moved_out(root, "train/7"))


def link_of_a_split(root: Path) -> None:
    (root / "train").symlink_to(moved_out(root, "train"))


def link_through_a_hidden_link(root: Path) -> None:
    (root / ".hidden").symlink_to(moved_out(root, CROP))
    (root / CROP).symlink_to(root / ".hidden")


def link_in_a_linked_folder(root: Path) -> None:
    """The folder lies in the root, and leads nowhere else; the crop in it does."""
    link_of_a_file(root)
    (root / "val" / "7" / "more").symlink_to(root / "train" / "7")
    shutil.rmtree(root / "test")


def link_of_a_label_file(root: Path) -> None:
    shutil.rmtree(root)
    trees.csv_in_splits(root)
    (root / "train" / "labels.csv").symlink_to(moved_out(root, "train/labels.csv"))


def link_with_a_prefix_of_the_root(root: Path) -> None:
    outside = root.with_name(f"{root.name}2")
    shutil.move(root / CROP, outside)
    (root / CROP).symlink_to(outside)


COUNTS: dict[Callable[[Path], None], int] = {
    link_of_a_file: 1,
    relative_link: 1,
    link_of_a_folder: 6,
    link_of_a_split: 24,
    link_through_a_hidden_link: 1,
    link_in_a_linked_folder: 2,
    link_of_a_label_file: 1,
    link_with_a_prefix_of_the_root: 1,
}


def opened(root: Path, outside_links: str) -> JerseyDataModule:
    data = JerseyDataModule(str(root), seed=0, size_px=(16, 16), outside_links=outside_links)  # type: ignore[arg-type]
    data.setup()
    return data


@pytest.mark.parametrize("make", COUNTS, ids=lambda make: make.__name__)
def test_links_to_the_outside_are_counted_in_one_note_and_refused_on_request(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    root = trees.folders(tmp_path / "set")
    make(root)
    (note,) = (note for note in audit_folder(root).index.notes if note.startswith(OUTSIDE))
    assert note.startswith(f"{OUTSIDE}: {COUNTS[make]}, for example {root}/")
    assert len(opened(root, "follow").splits["train"]) == 24
    with pytest.raises(UserError, match=f"{COUNTS[make]} links? in .* to files outside it, such as .*; replace them"):
        opened(root, "error")


def test_copies_instead_of_links_are_accepted(tmp_path: Path) -> None:
    root = trees.folders(tmp_path / "set")
    link_of_a_file(root)
    shutil.copyfile(root / CROP, tmp_path / "copy")
    (tmp_path / "copy").replace(root / CROP)
    assert len(opened(root, "error").splits["train"]) == 24


def test_links_inside_the_folder_and_the_folder_itself_as_a_link_are_not_mentioned(tmp_path: Path) -> None:
    trees.folders(tmp_path / "set")
    (tmp_path / "link").symlink_to(tmp_path / "set")
    (tmp_path / "link" / "train" / "7" / "again.png").symlink_to(tmp_path / "set" / CROP)
    (tmp_path / "set" / "train" / "7" / "more.png").symlink_to("7_0.png")
    for root in (tmp_path / "set", tmp_path / "link"):
        index = read_index(root)
        assert not index.linked
        assert OUTSIDE not in " ".join(index.notes)
        assert len(opened(root, "error").splits["train"]) == 26


def test_linked_sets_of_prepare_have_one_note(tmp_path: Path) -> None:
    trees.folders(tmp_path / "set")
    prepare(tmp_path / "set", tmp_path / "linked", "--link")
    assert len(opened(tmp_path / "linked", "follow").index.linked) == 40
    assert audit_folder(tmp_path / "linked").text().count(f"{OUTSIDE}: 40, ") == 1


def test_a_target_with_a_line_break_prints_no_line_of_its_own(tmp_path: Path) -> None:
    root = trees.folders(tmp_path / "set")
    target = tmp_path / "a\nerror: all is well.png"
    shutil.move(root / CROP, target)
    (root / CROP).symlink_to(target)
    lines = audit_folder(root).text().split("\n")
    assert not [line for line in lines if line.startswith("error")]
    assert all(map(str.isprintable, lines))
