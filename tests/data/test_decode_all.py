"""Many files at once: rows, what is known of each, and which are bad."""

import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jersey.data.decode import Picture, decode_all, picture_of


@pytest.fixture
def numbered(tmp_path: Path) -> list[Path]:
    """Fifty 1x1 pictures; the red of each is its index."""
    paths = [tmp_path / f"{index}.png" for index in range(50)]
    for index, path in enumerate(paths):
        Image.new("RGB", (1, 1), (index, 0, 0)).save(path)
    return paths


@pytest.mark.parametrize("workers", [None, 1, 4])
def test_decode_all_keeps_the_order(numbered: list[Path], workers: int | None) -> None:
    reds = np.full(50, -1)

    def keep(row: int, pixels_HW3: np.ndarray) -> None:
        reds[row] = pixels_HW3[0, 0, 0]

    pictures_N, bad = decode_all(numbered, keep=keep, workers=workers, description="test")
    assert reds.tolist() == list(range(50))
    assert bad == {}
    assert [Picture.of(row) for row in pictures_N] == [picture_of(path.read_bytes(), path) for path in numbered]


def test_what_is_known_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (5, 3)).save(path)
    ((row,), _) = decode_all([path], keep=lambda row, pixels: None, description="test")
    digest = hashlib.sha256(path.read_bytes()).digest()
    assert Picture.of(row) == Picture(digest, width_px=5, height_px=3, kind="PNG L")


def test_rows_are_kept_in_the_workers(numbered: list[Path]) -> None:
    threads = set()
    decode_all(numbered, keep=lambda *_: threads.add(threading.current_thread()), workers=2, description="test")
    assert threads
    assert threading.main_thread() not in threads


def test_decode_all_tells_every_bad_image_by_its_row_and_keeps_the_others(numbered: list[Path]) -> None:
    for path in numbered[3:10]:
        path.write_bytes(b"")
    kept = []
    pictures_N, bad = decode_all(numbered, keep=lambda row, pixels: kept.append(row), description="test")
    assert {row: (each.path, each.reason) for row, each in bad.items()} == {
        row: (numbered[row], "is empty") for row in range(3, 10)
    }
    assert sorted(kept) == [row for row in range(50) if row not in bad]
    assert len(pictures_N) == 50


def test_a_defect_in_keep_is_not_taken_for_a_bad_image(numbered: list[Path]) -> None:
    with pytest.raises(ZeroDivisionError):
        decode_all(numbered, keep=lambda row, pixels: 1 // 0, description="test")
