"""What `prepare` writes: equal crops, labels, tracklets and order from any layout to any other, copied or linked."""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import data_trees as trees
from helpers import small_run
from helpers.data_trees import save
from helpers.faulty_trees import edited, image, link, write
from helpers.prepared import audit_code, contents, prepare, unsplit
from helpers.repository import REPOSITORY

from jersey.data.index import read_index
from jersey.data.prepare.writer import LAYOUTS

Rows = dict[str, list[tuple[str, str, bytes, int]]]


def with_tracklets(root: Path) -> Path:
    """Writes rows with tracklets, some of whose crops are illegible, and odd names."""
    trees.jsonl(root)
    for split in trees.EACH:
        path = root / split / "annotations.jsonl"
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for index, row in enumerate(rows):
            row["tracklet"] = ("", "game 1, p7", "7", "=é")[index % 4]
            row["suffix"] = "" if index % 6 == 5 else row["suffix"]
        (root / split / "images" / "0_0.png").rename(root / split / "images" / "a, b\\c.png")
        rows[0]["image"] = "images/a, b\\c.png"
        trees.write_jsonl(path, rows)
    return root


def tracklet_folders(root: Path) -> Path:
    """Writes a folder per number with folders of tracklets, and files of one name in all of them."""
    index = 0
    for split, count in trees.EACH.items():
        for number in (*trees.NUMBERS, "illegible"):
            for frame in range(count):
                save(root / split / number / f"player{frame % 2}" / f"{frame // 2:04d}.png", index)
                index += 1
    return root


SOURCES: dict[str, Callable[[Path], Path]] = {
    "folders": trees.folders,
    "jsonl": trees.jsonl,
    "csv": trees.csv_in_splits,
    "one csv": trees.csv_in_root,
    "json": trees.json_in_splits,
    "hugging face": lambda root: trees.hugging_face(root, ".csv"),
    "roboflow": trees.roboflow,
    "soccernet": trees.soccernet,
    "rows with tracklets": with_tracklets,
    "folders with tracklets": tracklet_folders,
}


def rows_of(root: Path) -> Rows:
    """Returns label, file name, content and tracklet of each row, in order; a tracklet is its first row."""
    found: Rows = {}
    for name, split in read_index(root).splits.items():
        first: dict[str, int] = {}
        found[name] = [
            (label, path.name, path.read_bytes(), first.setdefault(tracklet, row) if tracklet else -1)
            for row, (label, path, tracklet) in enumerate(zip(split.labels, split.paths, split.tracklets, strict=True))
        ]
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("source", SOURCES)
def test_labels_tracklets_and_order_survive_a_conversion_there_and_back(
    source: str, layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = SOURCES[source](tmp_path / "set")
    before = contents(root)
    prepare(root, tmp_path / "there", f"--layout={layout}", *(["--link"] if source == "csv" else []))
    prepare(tmp_path / "there", tmp_path / "back")
    assert contents(root) == before
    expected = rows_of(root)
    if source == "rows with tracklets" and layout == "folders":
        assert "become one tracklet for each; --layout=jsonl keeps them" in capsys.readouterr().out
        expected = {name: [row[:3] for row in rows] for name, rows in expected.items()}  # type: ignore[misc]
        assert {name: [row[:3] for row in rows] for name, rows in rows_of(tmp_path / "back").items()} == expected
        return
    assert rows_of(tmp_path / "there") == expected
    assert rows_of(tmp_path / "back") == expected
    index = read_index(tmp_path / "there")
    assert not index.all_warnings
    assert not index.unused
    assert audit_code(tmp_path / "there") == 0


@pytest.mark.slow
def test_the_prepared_crops_of_five_layouts_train_to_equal_weights(tmp_path: Path) -> None:
    trained = {}
    for position, name in enumerate(("folders", "jsonl", "one csv", "json", "roboflow")):
        SOURCES[name](tmp_path / name)
        prepare(tmp_path / name, tmp_path / "out" / name, f"--layout={LAYOUTS[position % len(LAYOUTS)]}")
        data = small_run.tiny_data(tmp_path / "out" / name)
        trained[name] = small_run.fitted(tmp_path / "runs" / name, data, small_run.noisy_module(data), epochs=2)
    data = small_run.tiny_data(trees.folders(tmp_path / "source"))
    source = small_run.fitted(tmp_path / "runs" / "source", data, small_run.noisy_module(data), epochs=2)
    for each in trained.values():
        small_run.assert_same_training(each, source)


@pytest.mark.parametrize("make", [trees.csv_in_root, trees.json_in_splits], ids=["one csv", "json of a split"])
def test_one_label_file_is_a_source(make: Callable[[Path], Path], tmp_path: Path) -> None:
    root = make(tmp_path / "set")
    file = next(iter(sorted([*root.glob("*.csv"), *root.glob("train/*.json")])))
    write("notes.csv", b"image,label\na.png,1\n")(file.parent)
    write("7/a.png")(file.parent)  # without the file, the source could be understood in two ways
    prepare(file, tmp_path / "out")
    found = rows_of(tmp_path / "out")
    expected = 40 if file.suffix == ".csv" else 24
    assert sum(map(len, found.values())) == expected
    assert {len(rows) for rows in found.values()} == ({24, 8} if file.suffix == ".csv" else {16, 4})


def test_every_file_of_the_source_is_used_or_in_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = unsplit(tmp_path / "set")
    for change in (
        write("7/notes.txt"),
        write("7/bad.png", b"no image"),
        write("7/Thumbs.db"),
        write("7/photo.psd"),
        link("7/loop", "."),
        image("0/a.jfif", 700, "JPEG"),
    ):
        change(root)
    prepare(root, tmp_path / "out")
    output = capsys.readouterr().out
    table = output.partition("Files not used")[2].partition("\n\n")[0].splitlines()[1:]
    counted = Counter(line.split("  ")[0] for line in table)
    assert counted == {
        "not an image": 1,
        "image that does not exist or cannot be decoded": 1,
        "left by the system or a network drive": 1,
        "image in a format that cannot be read; convert it to PNG": 1,
        "a link into the folder itself, whose files are listed already": 1,
    }
    assert "out has 21 crops" in output
    assert "warning: 1 file is not used, 7/bad.png" in output


def test_a_dry_run_prints_the_same_plan_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = unsplit(tmp_path / "set")
    prepare(root, tmp_path / "out", "--dry_run")
    planned = capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    prepare(root, tmp_path / "out")
    written = capsys.readouterr().out
    assert planned.splitlines()[:-1] == written.splitlines()[:-2]
    assert planned.splitlines()[0].split() == ["label", "train", "val", "test", "all"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_links_lead_to_the_files_also_after_both_folders_were_moved(layout: str, tmp_path: Path) -> None:
    root = unsplit(tmp_path / "data" / "real")
    (tmp_path / "data" / "set").symlink_to(root)
    prepare(tmp_path / "data" / "set", tmp_path / "data" / "out", "--link", f"--layout={layout}")
    (tmp_path / "data").rename(tmp_path / "moved")
    found = read_index(tmp_path / "moved" / "out").splits
    links = [path for split in found.values() for path in split.paths]
    assert len(links) == 20
    for path in links:
        assert path.is_symlink()
        assert path.resolve().is_relative_to(tmp_path / "moved" / "real")
    assert audit_code(tmp_path / "moved" / "out") == 0


def test_names_that_meet_get_a_number_and_odd_tracklets_stay_in_the_output(tmp_path: Path) -> None:
    root = trees.jsonl(tmp_path / "set")
    for number, name in (("7", "../../../evil"), ("23", ".hidden"), ("0", "@eaDir"), ("00", "x" * 300)):
        edited("train/annotations.jsonl", f'"suffix": "{number}"', f'"suffix": "{number}", "tracklet": "{name}"')(root)
    save(root / "train" / "more" / "7_0.png", 800)
    save(root / "train" / "more" / "7_0_2.png", 801)
    save(root / "train" / "other" / "7_0.png", 802)
    rows = root / "train" / "annotations.jsonl"
    more = [{"image": f"more/7_0{each}.png", "suffix": "7"} for each in ("", "_2")]
    more.append({"image": "images/../other/7_0.png", "suffix": "7"})
    rows.write_text(rows.read_text() + "".join(json.dumps(row) + "\n" for row in more), encoding="utf-8")
    prepare(root, tmp_path / "out", "--layout=folders")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "set"]
    train = read_index(tmp_path / "out").splits["train"]
    assert len(train) == 27
    assert {path.read_bytes() for path in train.paths} == {
        path.read_bytes() for path in read_index(root).splits["train"].paths
    }
    assert sorted(Counter(filter(None, train.tracklets)).values()) == [6, 6, 6, 6]


KILLED_AT_THE_FIFTH_CROP = """
import os, runpy, shutil, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored
copy, count = shutil.copyfile, 0
def copy_some(*arguments):
    global count
    count += 1
    if count == 5:
        os.kill(os.getpid(), signal.NAME)
    return copy(*arguments)
shutil.copyfile = copy_some
runpy.run_module("jersey.data.prepare", run_name="__main__")
"""


@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_a_killed_command_leaves_no_output_and_the_next_one_completes(name: str, tmp_path: Path) -> None:
    root = unsplit(tmp_path / "set")
    program = KILLED_AT_THE_FIFTH_CROP.replace("NAME", name)
    words = [sys.executable, "-c", program, str(root), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode in (-getattr(signal, name), 130), done.stderr
    assert not (tmp_path / "out").exists()
    left = [path.name for path in tmp_path.iterdir() if path.name != "set"]
    assert len(left) == (name == "SIGKILL"), "only a kill leaves the unfinished folder, which is hidden"
    prepare(root, tmp_path / "out")
    assert audit_code(tmp_path / "out") == 0
