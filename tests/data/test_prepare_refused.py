"""Errors of `python -m jersey.data.prepare`, and errors that name it: following each sentence literally works."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import data_trees as trees
from helpers import detection_exports as exports
from helpers.data_trees import NUMBERS, Tree, save
from helpers.faulty_trees import TREES, edited, renamed
from helpers.prepared import audit_code, contents, prepare, unsplit
from helpers.repository import REPOSITORY

from jersey.core.errors import UserError
from jersey.data.index import read_index

NAMING_PREPARE = [
    tree
    for tree in TREES
    if "jersey.data.prepare" in tree.refused or tree.name in ("YOLO", "no train", "rows without a split")
]


def test_all_kinds_of_errors_that_name_the_command_are_in_the_trees() -> None:
    sources = [
        (REPOSITORY / "jersey" / "data" / f"{name}.py").read_text(encoding="utf-8") for name in ("layout", "index")
    ]
    calls = sum(len(re.findall(r"\{prepare_command\(", source)) for source in sources)
    assert calls == 4, "a new error needs a tree"
    assert len(NAMING_PREPARE) == 7


@pytest.mark.parametrize("tree", NAMING_PREPARE, ids=lambda tree: tree.name)
def test_an_error_that_names_the_command_is_followed_literally(tree: Tree, tmp_path: Path) -> None:
    root = tmp_path / "a set"
    root.mkdir()
    tree.make(root)
    with pytest.raises(UserError) as caught:
        read_index(root)
    named = re.search(r"`python -m jersey\.data\.prepare (.+?) OUT`", str(caught.value))
    assert named is not None
    before = contents(root)
    prepare(*shlex.split(named[1]), tmp_path / "OUT")
    assert audit_code(tmp_path / "OUT") == 0
    assert contents(root) == before


def in_folders(*names: str) -> Callable[[Path], None]:
    """Writes crops into several folders, each with a folder per number."""

    def make(root: Path) -> None:
        for position, name in enumerate(names):
            unsplit(root / name, first=20 * position)

    return make


def games_into_numbers(root: Path) -> None:
    for number in NUMBERS:
        for game in ("game1", "game2"):
            (root / number).mkdir(exist_ok=True)
            (root / game / number).rename(root / number / game)
    shutil.rmtree(root / "game1")
    shutil.rmtree(root / "game2")


def odd_label(root: Path) -> None:
    trees.jsonl(root)
    edited("train/annotations.jsonl", '"suffix": "7"', '"suffix": "../7"', count=1)(root)


def boxes_and_crops(root: Path) -> None:
    exports.coco(root)
    (root / "val" / "_annotations.coco.json").unlink()
    (root / "val" / "frame0.png").unlink()
    (root / "val" / "frame1.png").unlink()
    for number in NUMBERS:
        save(root / "val" / number / "a.png", int(number))


def players(root: Path) -> None:
    exports.yolo(root)
    edited("data.yaml", "['0', '00', '7', '23']", "[player, referee, ball, coach]")(root)


def no_annotations(root: Path) -> None:
    for split in trees.EACH:
        content = exports.coco_content(split, root / split)
        trees.write_json(root / split / "_annotations.coco.json", content | {"annotations": []})


def without_names(root: Path) -> None:
    exports.yolo(root)
    (root / "data.yaml").rename(root / "notes.txt")


def odd_names(root: Path) -> None:
    exports.yolo(root)
    edited("data.yaml", "names: [", "names: &x [")(root)


def write_names(root: Path) -> None:
    (root / "data.yaml").write_text("names: ['0', '00', '7', '23']\n", encoding="utf-8")


def one_bad_number(root: Path) -> None:
    unsplit(root)
    for path in (root / "23").iterdir():
        path.write_bytes(b"no image")


def two_images(root: Path) -> None:
    for number in ("7", "23"):
        save(root / number / "a.png", int(number))


def more_images(root: Path) -> None:
    for number in ("7", "23"):
        save(root / number / "b.png", 100 + int(number))


@dataclass(frozen=True)
class Refused:
    """A command that is refused.

    Attributes:
        name: short name.
        words: words of the error.
        make: function that writes the source.
        flags: flags of the command.
        change: function that follows the advice in the source; None if the flags do.
        instead: flags that the advice leads to; None for the same.
    """

    name: str
    words: str
    make: Callable[[Path], object] = unsplit
    flags: Sequence[str] = ()
    change: Callable[[Path], object] | None = None
    instead: Sequence[str] | None = None


REFUSED = [
    Refused(
        "a text file",
        "is not a label file",
        lambda root: root.write_text("7"),
        change=lambda root: (root.unlink(), unsplit(root)),
    ),
    Refused("an empty folder", "is empty: no labeled image", lambda root: root.mkdir(), change=unsplit),
    Refused(
        "a folder of texts",
        "no labeled image",
        lambda root: (root.mkdir(), (root / "a.txt").write_text("7")),
        change=unsplit,
    ),
    Refused(
        "loose images",
        "is not in a class folder; move it into one",
        lambda root: (unsplit(root), save(root / "a.png", 90)),
        change=renamed("a.png", "7/a.png"),
    ),
    Refused(
        "one number",
        "has fewer than two classes (7); add images",
        lambda root: [save(root / "7" / f"{i}.png", i) for i in range(5)],
        change=lambda root: unsplit(root, first=30),
    ),
    Refused(
        "games",
        "make one folder per number, with folders such as 23/game1",
        in_folders("game1", "game2"),
        change=games_into_numbers,
    ),
    Refused(
        "a number without an image",
        "no image of 23 can be decoded",
        one_bad_number,
        change=lambda root: shutil.rmtree(root / "23"),
    ),
    Refused(
        "one crop of each number", "val would be empty", two_images, ("--fractions=0.5,0.5,0",), change=more_images
    ),
    Refused("a sum of 1.1", "which sum to 1", flags=("--fractions=0.7,0.2,0.2",), instead=("--fractions=0.8,0.2,0",)),
    Refused(
        "two fractions",
        "as in --fractions=0.8,0.2,0",
        flags=("--fractions=0.7,0.3",),
        instead=("--fractions=0.8,0.2,0",),
    ),
    Refused(
        "no fraction for val",
        "only that of test may be 0",
        flags=("--fractions=0.9,0,0.1",),
        instead=("--fractions=0.9,0.1,0",),
    ),
    Refused("fractions that are none", "must be the fractions", flags=("--fractions=nan,nan,nan",), instead=()),
    Refused("a group without match", "matches no path, such as 0/0_0.png", flags=("--group=game[0-9]",), instead=()),
    Refused(
        "a group that is no pattern", "is not a regular expression", flags=("--group=(",), instead=("--group=_[0-9]",)
    ),
    Refused(
        "one group",
        "are 1 group that must stay together, for 3 splits",
        flags=("--group=png",),
        instead=("--group=_[0-9]",),
    ),
    Refused(
        "two groups",
        "--fractions=0.8,0.2,0 makes two splits",
        lambda root: unsplit(root, each=2),
        ("--group=_[0-9]",),
        instead=("--group=_[0-9]", "--fractions=0.8,0.2,0"),
    ),
    Refused("margin without boxes", "--margin is for boxes", flags=("--margin=0.1",), instead=()),
    Refused(
        "a negative margin",
        "at least 0 and at most 1, such as 0.1",
        exports.coco,
        ("--margin=-1",),
        instead=("--margin=0.1",),
    ),
    Refused("links of boxes", "boxes are cut into new ones; leave it out", exports.yolo, ("--link",), instead=()),
    Refused("a negative seed", "must not be negative, such as 1", flags=("--seed=-1",), instead=("--seed=1",)),
    Refused(
        "an unlikely difference",
        "must be above 0 and at most 1, such as 0.3",
        flags=("--max_difference=0",),
        instead=("--max_difference=0.3",),
    ),
    Refused(
        "a path out of the source",
        "lies outside the data folder",
        lambda root: (trees.jsonl(root), edited("train/annotations.jsonl", "images/7_0", "../../7_0")(root)),
        change=edited("train/annotations.jsonl", "../../7_0", "images/7_0"),
    ),
    Refused(
        "an absolute path",
        "lies outside the data folder",
        lambda root: (trees.csv_in_root(root), edited("labels.csv", "train/images/7_0", "/etc/7_0")(root)),
        change=edited("labels.csv", "/etc/7_0", "train/images/7_0"),
    ),
    Refused(
        "a label that is no folder", "use --layout=jsonl", odd_label, ("--layout=folders",), instead=("--layout=jsonl",)
    ),
    Refused(
        "boxes and crops",
        "both boxes in larger images and labeled crops",
        boxes_and_crops,
        change=lambda root: shutil.rmtree(root / "val"),
    ),
    Refused(
        "boxes of players",
        "no box with a number in",
        players,
        change=write_names,
    ),
    Refused("an export without boxes", "has no box with a number; label some", no_annotations, change=exports.coco),
    Refused(
        "no names of categories",
        "no data.yaml; keep one, with a line such as names:",
        without_names,
        change=write_names,
    ),
    Refused("names that cannot be read", "write them as names: ['0', '00', '23']", odd_names, change=write_names),
    Refused(
        "COCO and YOLO",
        "move one of them away",
        lambda root: (exports.coco(root), exports.yolo(root)),
        change=lambda root: [(root / split / "_annotations.coco.json").unlink() for split in trees.EACH],
    ),
    Refused(
        "two ways",
        "set data.format to folders or csv (--format of audit and prepare)",
        lambda root: (
            unsplit(root),
            (root / "labels.csv").write_text("image,label\n7/7_0.png,7\n7/7_1.png,7\n0/0_0.png,0\n0/0_1.png,0\n"),
        ),
        instead=("--format=folders",),
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_a_refusal_is_one_sentence_that_writes_nothing_and_whose_advice_works(case: Refused, tmp_path: Path) -> None:
    root = tmp_path / "set"
    case.make(root)
    before = contents(tmp_path)
    with pytest.raises(UserError) as caught:
        prepare(root, tmp_path / "out", *case.flags)
    assert case.words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]
    if case.change is not None:
        case.change(root)
    prepare(root, tmp_path / "out", *(case.flags if case.instead is None else case.instead))
    assert audit_code(tmp_path / "out") == 0


@pytest.mark.parametrize("name", ["crops", "game 1/crops"])
def test_the_folder_of_an_unpacked_archive_is_named(name: str, tmp_path: Path) -> None:
    for write in (trees.folders, unsplit):
        root = tmp_path / write.__name__
        write(root / name)
        place = root / name.rpartition("/")[0]
        with pytest.raises(UserError) as caught:
            prepare(place, tmp_path / "out")
        named = re.search("name (.+) instead", str(caught.value))
        assert named is not None
        prepare(named[1], tmp_path / f"{write.__name__} out")
        assert audit_code(tmp_path / f"{write.__name__} out") == 0


def test_a_label_file_without_its_columns_is_refused(tmp_path: Path) -> None:
    file = unsplit(tmp_path / "set") / "labels.csv"
    file.write_text("game,score\n1,90\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"labels\.csv has no rows with an image and a label; name its columns"):
        prepare(file, tmp_path / "out")
    rows = [f"{number}/{number}_{index}.png,{number}" for number in NUMBERS for index in range(3)]
    file.write_text("\n".join(["image,label", *rows]), encoding="utf-8")
    prepare(file, tmp_path / "out", "--fractions=0.6,0.4,0")


def test_outputs_that_are_not_new_or_lie_in_the_source_are_refused(tmp_path: Path) -> None:
    root = unsplit(tmp_path / "set")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "link").symlink_to(root)
    for out, words in (
        (tmp_path / "file", "is a file"),
        (tmp_path / "file" / "out", "cannot write"),
        (tmp_path / ("long" * 80), "cannot write"),
        (root, "is not empty"),
        (root / "out", "contain each other"),
        (tmp_path / "link" / "out", "contain each other"),
        (tmp_path, "is not empty"),
    ):
        before = contents(tmp_path)
        with pytest.raises(UserError, match=words):
            prepare(root, out)
        assert contents(tmp_path) == before
    (tmp_path / "empty").mkdir()
    prepare(root, tmp_path / "empty")
    assert audit_code(tmp_path / "empty") == 0


def test_a_refusal_is_exit_code_2_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jersey.data.prepare", str(tmp_path / "nowhere"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: there is no folder or file")
    assert done.stderr.count("\n") == 1


def test_a_label_that_the_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    root = unsplit(tmp_path / "set")
    (root / "23").rename(root / "数")
    command = [sys.executable, "-m", "jersey.data.prepare", str(root), str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u6570" in done.stdout
