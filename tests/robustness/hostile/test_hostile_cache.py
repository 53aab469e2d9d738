"""Files in the folder of decoded crops are never unpickled; what is no such file is made again."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import payload
from PIL import Image

from jersey.data.cache import Crops, Recipe, load_crops

SIZE_PX = (6, 8)


def _zipped(marker: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("arr_0.npy", payload.ARRAYS["an array of objects"](marker))
    return buffer.getvalue()


def _headed(header: str) -> bytes:
    """A file of numpy with a header of one's own, and no content."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


FILES: dict[str, Callable[[Path], bytes]] = {
    **payload.ARRAYS,
    "a zip file": _zipped,
    "the beginning of a zip file": lambda _: b"PK\x03\x04" + bytes(100),
    "a header without end": lambda _: _headed("{'descr': '|u1', 'shape': ("),
    "a header with a call": lambda _: _headed("__import__('os').system('id')"),
    "a header of another language": lambda _: _headed("  \tif {\n 'descr"),
    "a promise of much": lambda _: _headed(str({"descr": "|u1", "fortran_order": False, "shape": (10**15,)})),
    "other numbers": lambda _: _headed(str({"descr": "<f8", "fortran_order": False, "shape": (0,)})),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("pattern", ["train*.files.npz", "train*[0-9a-f].npy"])
def test_it_is_made_again(kind: str, pattern: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (*SIZE_PX, 3), dtype=np.uint8)).save(path)
    folder, marker = tmp_path / "cache", tmp_path / "ran"
    first = load(paths, folder)
    (file,) = folder.glob(pattern)
    content = file.read_bytes()
    file.unlink()  # the first crops go on in the old file
    file.write_bytes(FILES[kind](marker))
    again = load(paths, folder)
    np.testing.assert_array_equal(again.images_NCHW, first.images_NCHW)
    np.testing.assert_array_equal(again.pictures_N, first.pictures_N)
    assert file.read_bytes() == content
    assert not marker.exists()


def load(paths: list[Path], folder: Path) -> Crops:
    recipe = Recipe(fit=lambda pixels_hw3: pixels_hw3.transpose(2, 0, 1), size_px=SIZE_PX, settings="stretch")
    return load_crops(paths, recipe, name="train", folder=folder)
