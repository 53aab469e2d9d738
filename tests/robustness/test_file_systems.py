"""Read-only, full and missing folders around a run: it goes on with at most one note each."""

import json
import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from helpers.launched import LAUNCH, SMALL
from helpers.prepared import prepare
from helpers.small_disk import filled, small_disk
from PIL import Image

from jersey.core.errors import UserError
from jersey.data.index import read_index

Form = Literal["NFC", "NFD"]
Launch = Callable[..., subprocess.CompletedProcess[str]]
FLAGS = (*SMALL, "--fdl_set=trainer.epochs=1")


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """Makes a folder read-only, also for root; the test is skipped without the right to mount."""
    bind = ["mount", "--bind", str(folder), str(folder)]
    if subprocess.run(bind, check=False, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("a folder cannot be made read-only here: this needs root")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def notes(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """Returns what a run says on stderr about anything but its config, and asserts that it has ended well."""
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    words = ("warning", "Errno", "Read-only", "matplotlib", "onnxruntime:", "rror:")
    lines = [line for line in ended.stderr.splitlines() if any(word in line for word in words)]
    return [line for line in lines if not line.startswith("warning: no effect: ")]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_on_a_read_only_data_folder_says_it_once(launch: Launch, tmp_path: Path, crops_root: Path) -> None:
    root = tmp_path / "crops"
    shutil.copytree(crops_root, root, ignore=shutil.ignore_patterns(".decoded"))
    with read_only(root):
        (note,) = notes(launch(*FLAGS, f"--fdl_set=root={root}"))
    assert f"cannot store decoded crops in {root / '.decoded'} (Read-only file system)" in note
    assert "data.cache" in note


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", ["read-only", "full", "absent"])
def test_a_run_needs_neither_the_home_nor_the_temporary_folder(tmp_path: Path, crops_root: Path, place: str) -> None:
    with small_disk(tmp_path / "disk", size_mb=1) as disk:
        folder = disk / "no such folder" if place == "absent" else disk
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "MPL"))}
        environment |= {"HOME": str(folder), "TMPDIR": str(folder)}
        flags = [*FLAGS, f"--fdl_set=root={crops_root}", f"--workdir={tmp_path / 'runs'}"]
        with read_only(disk) if place != "full" else filled(disk):
            ended = run_fresh(flags, environment)
    assert notes(ended) == []


def run_fresh(flags: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs `launch.py` in a fresh process, in which matplotlib and onnxruntime are imported in this environment."""
    return subprocess.run(
        [sys.executable, str(LAUNCH), *flags],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=LAUNCH.parent,
        timeout=280,
    )


@pytest.mark.parametrize("setting", [None, "0"])
def test_the_predictor_disables_the_telemetry_of_onnxruntime_unless_told_otherwise(setting: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    if setting is not None:
        environment["ORT_DISABLE_TELEMETRY"] = setting
    program = "import os, jersey.inference; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
    assert ended.stdout.strip() == (setting or "1")


@pytest.mark.parametrize(("written", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_an_image_is_found_in_another_unicode_normal_form(tmp_path: Path, written: Form, on_disk: Form) -> None:
    for split in ("train", "val"):
        images = tmp_path / split / "images"
        images.mkdir(parents=True)
        rows = []
        for label in ("4", "7"):
            name = f"M\u00fcller {label}.png"
            Image.new("RGB", (8, 8), (int(label), 0, 0)).save(images / unicodedata.normalize(on_disk, name))
            rows.append(json.dumps({"image": f"images/{unicodedata.normalize(written, name)}", "suffix": label}))
        (tmp_path / split / "annotations.jsonl").write_text("\n".join(rows), encoding="utf-8")
    index = read_index(tmp_path)
    for split in index.splits.values():
        assert all(path.exists() for path in split.paths)
        assert sorted(split.labels) == ["4", "7"]
    assert not index.all_warnings


@pytest.mark.parametrize("pair", [("A7", "a7"), ("\u00e97", "e\u03017")])
def test_prepare_merges_no_names_on_a_disk_that_ignores_case_or_normal_form(
    tmp_path: Path, pair: tuple[str, str]
) -> None:
    source = tmp_path / "source"
    for split in ("train", "val", "test"):
        for index, label in enumerate(pair):
            (source / split / label).mkdir(parents=True)
            Image.new("RGB", (8, 8), (index * 200, 0, 0)).save(source / split / label / "a.png")
    with pytest.raises(UserError, match=r"would share a folder on many disks.*; use --layout=jsonl"):
        prepare(source, tmp_path / "folders", "--layout=folders")
    assert not (tmp_path / "folders").exists()
    prepare(source, tmp_path / "rows", "--layout=jsonl")
    names = [str(path.relative_to(tmp_path)) for path in (tmp_path / "rows").rglob("*.png")]
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == len(names) == 6
