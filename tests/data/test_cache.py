"""Decoded crops on disk are reused as long as nothing has changed, and only then."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from helpers.small_disk import filled, small_disk
from PIL import Image

from jersey.core.errors import UserError
from jersey.data.cache import MAX_CACHED, DecodedCrops, Preprocessing, load_crops
from jersey.data.decode import read_meta

SIZE_PX = (6, 8)


class CountingResize:
    """A resize function that counts its calls, and thereby the decoded images."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, pixels_hw3: np.ndarray) -> np.ndarray:
        self.calls += 1
        return pixels_hw3.transpose(2, 0, 1)[:, : SIZE_PX[0], : SIZE_PX[1]]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{index}.png" for index in range(12)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (*SIZE_PX, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "of crops"


def load(paths: list[Path], folder: Path | None, *, settings: str = "stretch") -> tuple[DecodedCrops, int]:
    """Returns the crops, and how many had to be decoded."""
    resize_crop = CountingResize()
    preprocessing = Preprocessing(resize=resize_crop, size_px=SIZE_PX, settings=settings)
    return load_crops({"train": paths}, preprocessing, folder=folder)["train"], resize_crop.calls


def expected(paths: list[Path]) -> np.ndarray:
    images = [np.asarray(Image.open(path)).transpose(2, 0, 1) for path in paths]
    return np.stack(images) if images else np.empty((0, 3, *SIZE_PX))


def _rewritten(paths: list[Path]) -> list[Path]:
    """Changes the pixels, and restores what can be restored: size and times."""
    path = paths[0]
    known, length = path.stat(), len(path.read_bytes())
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    path.write_bytes(path.read_bytes()[:length].ljust(length, b"\0"))
    os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))
    return paths


def _overwritten(paths: list[Path]) -> None:
    Image.new("RGB", SIZE_PX[::-1]).save(paths[5])


def _swapped(paths: list[Path]) -> list[Path]:
    waiting = paths[0].rename(paths[0].with_name("waiting.png"))
    paths[1].rename(paths[0])
    waiting.rename(paths[1])
    return paths


@pytest.mark.parametrize("change", [_rewritten, _swapped, lambda paths: paths[::-1], lambda paths: paths[1:]])
def test_changed_images_and_other_rows_are_noticed(
    paths: list[Path], folder: Path, change: Callable[[list[Path]], list[Path]]
) -> None:
    load(paths, folder)
    paths = change(paths)
    crops, decoded = load(paths, folder)
    assert decoded == len(paths)
    np.testing.assert_array_equal(crops.images_NCHW, expected(paths))


@pytest.mark.parametrize("change", [_overwritten, _swapped, lambda paths: paths[3].unlink()])
@pytest.mark.parametrize("is_cached", [True, False])
def test_files_that_change_during_the_decoding_are_refused(
    paths: list[Path], folder: Path, change: Callable[[list[Path]], object], is_cached: bool
) -> None:
    waiting = [lambda: change(paths)]

    def resize(pixels_hw3: np.ndarray) -> np.ndarray:
        with suppress(IndexError):  # once, in whichever thread is first
            waiting.pop()()
        return pixels_hw3.transpose(2, 0, 1)[:, : SIZE_PX[0], : SIZE_PX[1]]

    preprocessing = Preprocessing(resize=resize, size_px=SIZE_PX, settings="")
    with pytest.raises(UserError, match=r"\d+\.png has changed while train was decoded; start again"):
        load_crops({"train": paths}, preprocessing, folder=folder if is_cached else None)
    assert not list(folder.glob("*.np[yz]"))
    load_crops({"train": paths}, preprocessing, folder=folder)


def test_a_write_just_after_decoding_is_noticed(paths: list[Path], folder: Path) -> None:
    for level in range(5):  # as fast as possible one after the other
        Image.new("RGB", SIZE_PX[::-1], (level, 0, 0)).save(paths[0], compress_level=0)
        crops, _ = load(paths, folder)
        assert crops.images_NCHW[0, 0, 0, 0] == level


def test_other_settings_have_other_crops_and_changes_of_rows_stay_in_memory(paths: list[Path], folder: Path) -> None:
    load(paths, folder, settings="stretch")
    assert load(paths, folder, settings="letterbox")[1] == len(paths)
    crops, decoded = load(paths, folder, settings="stretch")
    assert decoded == 0
    crops.images_NCHW[:] = 7
    np.testing.assert_array_equal(load(paths, folder)[0].images_NCHW, expected(paths))


def test_a_damaged_file_is_rebuilt(paths: list[Path], folder: Path) -> None:
    load(paths, folder)
    for pattern in ("train*.files.npz", "train*[0-9a-f].npy"):
        for length in (0, 40, 200):
            (file,) = folder.glob(pattern)
            os.truncate(file, length)
            assert load(paths, folder)[1] == len(paths)
            assert load(paths, folder)[1] == 0


def test_only_the_most_recently_used_files_are_kept(paths: list[Path], folder: Path) -> None:
    for count in range(1, MAX_CACHED + 3):
        load(paths[:count], folder)
    load(paths[: MAX_CACHED + 2], folder)
    assert [load(paths[:count], folder)[1] for count in range(MAX_CACHED + 2, 2, -1)] == [0] * MAX_CACHED
    assert len(list(folder.glob("*.npy"))) == len(list(folder.glob("*.npz"))) == MAX_CACHED


@pytest.mark.parametrize("rows", [[], [3], [0, 1, 7], [11], list(range(12))])
def test_rows_are_the_good_images_in_order_and_a_second_start_decodes_nothing(
    paths: list[Path], folder: Path, rows: list[int]
) -> None:
    for row in rows:
        paths[row].write_bytes(b"GIF8" if row % 2 else b"")
    good = [path for row, path in enumerate(paths) if row not in rows]
    decoded = []
    for place in (None, folder, folder):
        crops, count = load(paths, place)
        decoded.append(count)
        np.testing.assert_array_equal(crops.images_NCHW, expected(good))
        assert len(crops.image_meta_N) == len(good)
        for meta, path in zip(crops.image_meta_N, good, strict=True):
            np.testing.assert_array_equal(meta, read_meta(path.read_bytes(), path))
        assert {row: each.path for row, each in crops.bad.items()} == {row: paths[row] for row in rows}
        assert all(("supported format" if row % 2 else "empty") in each.reason for row, each in crops.bad.items())
    assert decoded == [len(good), len(good), 0]


def test_no_file_is_kept_if_an_image_could_not_be_read(paths: list[Path], folder: Path) -> None:
    """Such an image has no known identity, and another user of the folder may be allowed to read it."""
    paths[3].unlink()
    for _ in range(2):
        crops, decoded = load(paths, folder)
        assert decoded == len(paths) - 1
        assert crops.bad[3].reason == "does not exist"
        np.testing.assert_array_equal(crops.images_NCHW, expected(paths[:3] + paths[4:]))
        assert not list(folder.glob("*.np?"))


def test_a_cache_folder_that_cannot_be_created_causes_one_warning(
    paths: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "a file"
    place.write_text("")
    with caplog.at_level(logging.WARNING):
        crops, _ = load(paths, place)
    np.testing.assert_array_equal(crops.images_NCHW, expected(paths))
    (record,) = caplog.records
    assert "data.cache" in record.message
    assert str(place) in record.message


@pytest.mark.parametrize("room_kb", [0, 600])  # for no file, and for the file of the pixels without its sidecar
def test_a_full_disk_causes_one_warning_and_leaves_no_file(
    paths: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, room_kb: int
) -> None:
    many = paths * 300
    with small_disk(tmp_path / "disk", size_mb=1) as disk, filled(disk, but_mb=room_kb / 1024):
        with caplog.at_level(logging.WARNING):
            crops, _ = load(many, disk / "cache")
        np.testing.assert_array_equal(crops.images_NCHW, expected(many))
        (record,) = caplog.records
        assert "None)" not in record.message  # numpy's own error has no number
        assert [path.name for path in (disk / "cache").iterdir()] in ([], [".lock"])


PROGRAM = """
import sys, time, pathlib
import numpy as np
from jersey.data.cache import Preprocessing, load_crops

def resize(pixels):
    time.sleep(float(sys.argv[3]))
    print("decoded\\n", end="", flush=True)  # in one piece, beside other threads
    return pixels.transpose(2, 0, 1)

paths = sorted(pathlib.Path(sys.argv[1]).glob("*.png"))
preprocessing = Preprocessing(resize=resize, size_px=(6, 8), settings="")
crops = load_crops({"train": paths}, preprocessing, folder=pathlib.Path(sys.argv[2]))["train"]
print("sum", int(crops.images_NCHW.sum()))
"""


def started(paths: list[Path], folder: Path, *, crop_s: float = 0.1) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(paths[0].parent), str(folder), str(crop_s)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_only_one_of_several_processes_decodes(paths: list[Path], folder: Path) -> None:
    outputs = [process.communicate(timeout=120)[0] for process in [started(paths, folder) for _ in range(3)]]
    assert sum(output.count("decoded") for output in outputs) == len(paths)
    assert all(f"sum {expected(paths).sum()}" in output for output in outputs)


def test_after_a_kill_the_next_process_starts_over_and_a_waiting_one_logs_it(
    paths: list[Path], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed = started(paths, folder)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "decoded\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert list(folder.glob(".*.partial.np[yz]"))
    with caplog.at_level(logging.INFO):
        other = started(paths, folder, crop_s=1.0)
        assert other.stdout is not None
        assert other.stdout.readline() == "decoded\n"
        crops, decoded = load(sorted(paths), folder, settings="")
    assert "waiting for another process" in caplog.text
    output = other.communicate(timeout=120)[0]
    assert decoded == 0
    assert f"sum {crops.images_NCHW.sum()}" in output
    assert not list(folder.glob(".*.partial.np[yz]"))
