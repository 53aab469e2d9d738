"""Data sets as people have them: what audit, run and predictor make of each, side by side.

For every tree: the audit fails exactly where a run stops, every file is either used or in the table of unused files, a
refused command changes nothing, and following the advice of its error literally makes the data set usable.
"""

import io
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import data_trees as trees
from helpers import small_run
from helpers.data_trees import NUMBERS, Tree, remove, save
from helpers.faulty_trees import TREES, all_at_once

from jersey import experiment as stages
from jersey.core.errors import UserError
from jersey.data.audit import __main__ as audit_command
from jersey.data.datamodule import JerseyDataModule
from jersey.data.index import Index, read_index
from jersey.data.label_files import recognize
from jersey.data.unused import TITLE, Reason, unused_table
from jersey.inference.sources import items_of
from jersey.runs.folder import RunFolder


def audit(root: Path, data_format: str | None = None) -> tuple[int, str]:
    """Runs the audit's command, and returns its exit code and output."""
    words = ["audit", str(root), *([f"--format={data_format}"] if data_format else [])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        output = io.StringIO()
        patch.setattr(sys, "stdout", output)
        return audit_command.main(), output.getvalue()


def start(root: Path, folder: Path, **settings: str) -> JerseyDataModule:
    """Does what the start of a run does with its data."""
    data = JerseyDataModule(str(root), seed=0, size_px=(16, 16), batch_size=8, **settings)  # type: ignore[arg-type]
    data.prepare_data()
    data.setup()
    data.train_dataloader()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    stages.audit(data, RunFolder(folder, "trees", {"stage": "fit"}, None), [])
    return data


def files_in(root: Path) -> set[str]:
    """Lists the files below a data set, without the hidden folders in its root; a link to a folder is one file."""
    found = set()
    for parent, names, files in os.walk(root):
        if parent == str(root):
            names[:] = [name for name in names if not name.startswith(".")]
        found |= {f"{parent}/{name}" for name in files}
        found |= {f"{parent}/{name}" for name in names if Path(parent, name).is_symlink()}
    return found


def files_of(index: Index) -> set[str]:
    """Returns the files that were used or counted; those that lie behind a link are replaced by the link."""
    used = {str(path) for split in index.splits.values() for path in split.paths if os.path.lexists(path)}
    unused = {each.path for each in index.unused}
    assert not used & unused
    return {_first_link(path, index.root) for path in used | set(index.label_files) | unused}


def _first_link(path: str, root: Path) -> str:
    inside = Path(path).relative_to(root)
    links = [root / parent for parent in [*reversed(inside.parents), inside] if (root / parent).is_symlink()]
    return str(links[0]) if links else path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.name)
def test_audit_run_and_predictor_agree(tree: Tree, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "set"
    root.mkdir()
    tree.make(root)
    before = contents(tmp_path)
    index = read_index(root, lambda problem: None)
    assert files_of(index) == files_in(root)
    code, report = audit(root)
    with caplog.at_level(logging.INFO, logger="jersey"):
        if tree.refused:
            _assert_refused(tree, root, tmp_path / "run", code)
        else:
            assert code == 0, report
            data = start(root, tmp_path / "run")
            assert len(data.splits["train"].legible()) == tree.train
            assert data.labels.names == tree.labels
    for words in tree.said:
        assert words in report
        assert words in caplog.text or tree.refused
    if tree.refused:
        assert contents(tmp_path) == before
        if tree.remedy is not None:
            settings = tree.remedy(root) or {}
            start(Path(settings.pop("root", root)), tmp_path / "run", **settings)
    _assert_predictor_counts_all(root)


def _assert_refused(tree: Tree, root: Path, run: Path, code: int) -> None:
    assert code == 1
    with pytest.raises(UserError) as caught:
        start(root, run)
    assert tree.refused in str(caught.value)
    assert "\n" not in str(caught.value)


def _assert_predictor_counts_all(root: Path) -> None:
    items, _, unused = items_of([str(root)], io.StringIO())
    read = {item.name for item in items}
    found = {_first_link(path, root) for path in read | {each.path for each in unused}}
    assert found == files_in(root)


@pytest.mark.parametrize("base", [trees.folders, trees.jsonl], ids=["folders", "jsonl"])
def test_files_used_and_files_in_the_table_are_all_files(base: Callable[[Path], Path], tmp_path: Path) -> None:
    root, linked = tmp_path / "set", tmp_path / "elsewhere"
    linked.mkdir()
    for index in range(3):
        save(linked / f"{index}.png", 800 + index)
    all_at_once(base)(root)
    image_folder = root / "train" / ("7" if base is trees.folders else "images")
    (image_folder / "tracklet").symlink_to(linked)
    there = len(files_in(root)) - 1 + len(list(linked.iterdir()))
    index = read_index(root)
    used = sum(map(len, index.splits.values())) + len(index.label_files)
    absent = {Reason.NO_ROW} if base is trees.folders else {Reason.NO_SPLIT, Reason.OTHER_SET}
    absent |= {Reason.OTHER_LABELS, Reason.REFUSED, Reason.NO_BOX, Reason.BAD_IMAGE}
    assert {each.reason for each in index.unused} == set(Reason) - absent
    assert used + sum(printed_counts(audit(root)[1])) == there
    items, total, unused = items_of([str(root)], io.StringIO())
    assert total == len(list(items))
    assert total + sum(printed_counts(unused_table(unused, ""))) == there


@pytest.mark.parametrize("name", ["CSV in the root beside folders", "images and annotations.json"])
def test_a_label_file_in_the_root_whose_rows_are_refused_says_so(name: str, tmp_path: Path) -> None:
    next(tree for tree in TREES if tree.name == name).make(tmp_path)
    index = read_index(tmp_path, lambda problem: None)
    reasons = {each.reason for each in index.unused if each.path.endswith((".csv", ".json"))}
    assert reasons == {Reason.REFUSED}


def test_paths_in_the_audit_are_relative_but_not_in_its_advice(tmp_path: Path) -> None:
    trees.folders(tmp_path / "nested" / "crops")
    assert f"set `root` to {tmp_path}/nested/crops\n" in audit(tmp_path / "nested")[1]
    save(trees.folders(tmp_path / "set") / "train" / "a.png", 900)
    assert "\n  the image train/a.png is not in a class folder" in audit(tmp_path / "set")[1]


def printed_counts(text: str) -> list[int]:
    """Returns the counts in the printed table of the files that are not used."""
    table = text[text.index(TITLE) :].partition("\n\n")[0]
    return [int(count.replace(",", "")) for count in re.findall(r"  ([0-9,]+)  ", table)]


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "folders": trees.folders,
    "jsonl": trees.jsonl,
    "csv": trees.csv_in_splits,
    "one csv": trees.csv_in_root,
    "json": trees.json_in_splits,
    "hugging face jsonl": lambda root: trees.hugging_face(root, ".jsonl"),
    "hugging face csv": lambda root: trees.hugging_face(root, ".csv"),
    "roboflow": trees.roboflow,
}


@pytest.mark.slow
def test_the_same_crops_train_to_equal_weights_in_five_layouts(tmp_path: Path) -> None:
    trained = {}
    for name in ("folders", "jsonl", "one csv", "json", "roboflow"):
        data = small_run.tiny_data(LAYOUTS[name](tmp_path / name))
        trained[name] = small_run.fitted(tmp_path / "runs" / name, data, small_run.noisy_module(data), epochs=2)
        small_run.assert_same_training(trained[name], trained["folders"])
    data = small_run.tiny_data(tmp_path / "jsonl", seed=4)
    other = small_run.fitted(tmp_path / "runs" / "seed", data, small_run.noisy_module(data), epochs=2)
    with pytest.raises(AssertionError):  # the order of the crops matters
        small_run.assert_same_training(other, trained["folders"])


def test_the_same_crops_have_the_same_rows_in_every_layout(tmp_path: Path) -> None:
    rows = {}
    for name, write in LAYOUTS.items():
        index = read_index(write(tmp_path / name))
        assert not index.all_warnings, name
        rows[name] = {
            split: [(label, path.name, path.read_bytes()) for label, path in zip(each.labels, each.paths, strict=True)]
            for split, each in index.splits.items()
        }
        assert rows[name] == rows["folders"], name
    assert len(rows["folders"]["train"]) == 24


def test_soccernet_tracklets_and_illegible_crops(tmp_path: Path) -> None:
    index = read_index(trees.soccernet(tmp_path))
    train = index.splits["train"]
    assert train.counts() == {"0": 6, "7": 6, "23": 6}
    assert train.illegible == 6
    assert set(train.tracklets) == {str(each) for each in range(len(NUMBERS))}
    assert "SoccerNet" in index.notes[0]


@pytest.mark.parametrize(
    ("content", "format"),
    [('{"3": 7}', "soccernet"), ('{"3": "7"}', None), ('{"3": 7, "4": null}', None), ('{"4": 7}', None)]
    + [(text, None) for text in ("{}", "[]", "7", "null", '"3"')],
)
def test_json_has_the_labels_of_tracklets_if_it_maps_their_names_to_integers(
    content: str, format: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "train_gt.json"
    file.write_text(content, encoding="utf-8")
    found = recognize(file, [f"{tmp_path}/images/3/a.png"])
    assert (found and found.format) == format


@pytest.mark.parametrize("make", [trees.folders, trees.jsonl], ids=["folders", "jsonl"])
def test_home_is_expanded_and_no_folder_named_tilde_is_made(
    make: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "home" / "crops")  # type: ignore[operator]
    assert len(start(Path("~/crops"), tmp_path / "run").splits["train"]) == 24
    assert audit(Path("~/crops"))[0] == 0
    assert not Path("~").exists()


def test_generation_never_fills_a_folder_of_somebody_else(tmp_path: Path) -> None:
    def generate(root: Path) -> None:
        trees.folders(root)

    settings = {"generate": generate, "generated_root": str(tmp_path / "default")}
    for missing in ("cropz", "~nobody-of-this-name/crops"):
        with pytest.raises(UserError, match=r"no data folder|no home folder"):
            start(tmp_path / missing if missing[0] != "~" else Path(missing), tmp_path / "run", **settings)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    assert len(start(tmp_path / "default", tmp_path / "run", **settings).splits["train"]) == 24  # type: ignore[arg-type]
    save(tmp_path / "real" / "train" / "7" / "a.png", 0)
    remove(tmp_path / "default")
    with pytest.raises(UserError, match=r"no folder val.*jersey\.data\.prepare"):
        start(tmp_path / "real", tmp_path / "run", **settings)  # type: ignore[arg-type]
    assert not (tmp_path / "default").exists()
