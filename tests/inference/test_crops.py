"""Crops of every kind have the same pixels, and anything else is an error of one sentence."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jersey.core.errors import UserError
from jersey.inference import crops
from jersey.inference.crops import ColorOrder, pixels_of

RGB_HW3 = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
ALPHA_HW = np.random.default_rng(1).integers(0, 256, (5, 7), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def opened_after_a_header() -> io.BytesIO:
    file = io.BytesIO(b"header" + png(RGB_HW3))
    file.seek(6)
    return file


@pytest.mark.parametrize(
    "crop",
    [
        RGB_HW3,
        np.asfortranarray(RGB_HW3),
        Image.fromarray(RGB_HW3),
        png(RGB_HW3),
        bytearray(png(RGB_HW3)),
        memoryview(png(RGB_HW3)),
        io.BytesIO(png(RGB_HW3)),
        opened_after_a_header(),
    ],
)
def test_every_kind_of_crop_has_its_pixels(crop: object) -> None:
    np.testing.assert_array_equal(pixels_of(crop), RGB_HW3)


def test_paths_and_open_files_have_the_pixels_of_their_file(tmp_path: Path) -> None:
    path = tmp_path / "crop.png"
    path.write_bytes(png(RGB_HW3))
    with path.open("rb") as file:
        for crop in (path, str(path), file):
            np.testing.assert_array_equal(pixels_of(crop), RGB_HW3)


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_arrays_have_the_pixels_of_a_file_with_the_same_channels(color: ColorOrder) -> None:
    """Gray is repeated, and transparent pixels are composited over black, as for files."""
    rgba_HW4 = np.dstack([RGB_HW3, ALPHA_HW])
    for stored in (RGB_HW3, rgba_HW4, ALPHA_HW):
        swapped = stored if color == "rgb" or stored.ndim == 2 else stored[..., [2, 1, 0, 3][: stored.shape[2]]]
        np.testing.assert_array_equal(pixels_of(swapped, color), pixels_of(png(stored)))
    np.testing.assert_array_equal(pixels_of(ALPHA_HW[..., None], color), pixels_of(png(ALPHA_HW)))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (RGB_HW3.astype(np.float32) / 255, "float32; pass the pixels as they were decoded"),
        (RGB_HW3.astype(np.int64), "int64"),
        (RGB_HW3.astype(np.uint16), "uint16"),
        (RGB_HW3[..., 0] > 9, "bool"),
        (RGB_HW3[..., :2], "[5, 7, 2]"),
        (RGB_HW3.transpose(2, 0, 1), "channels last"),
        (RGB_HW3[None], "predict_all"),
        (RGB_HW3[0, 0], "[3]"),
        (RGB_HW3[:0], "empty"),
        (RGB_HW3[:, :0, 0], "empty"),
        (None, "NoneType"),
        ((True, RGB_HW3), "tuple"),  # what OpenCV's `read` returns
        ([[0]], "list"),
        (b"", "the content of the crop has no bytes left; pass the bytes of an image file"),
        (b"no image", "the content of the crop is not an image"),
        (png(RGB_HW3)[:60], "cannot be decoded"),
        (io.BytesIO(b""), "the open file has no bytes left; seek"),
        (io.BytesIO(b"no image"), "the open file is not an image"),
        (io.StringIO("text"), "returns str instead of bytes; open it in binary mode"),
    ],
)
def test_anything_else_is_an_error_of_one_sentence(wrong: object, words: str) -> None:
    found = pixels_of(wrong)
    assert isinstance(found, UserError)
    assert words in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: _closed(path.open("rb")),
        lambda path: path.open("ab"),
        lambda path: path.open(encoding="utf-8"),
    ],
)
def test_an_open_file_that_cannot_be_read_is_named(spoil: Callable[[Path], io.IOBase], tmp_path: Path) -> None:
    path = tmp_path / "crop.png"
    path.write_bytes(png(RGB_HW3))
    with spoil(path) as file:
        found = pixels_of(file)
    assert isinstance(found, UserError)
    assert "crop.png" in str(found)
    assert "binary mode" in str(found)


def _closed(file: io.IOBase) -> "Closed":
    file.close()
    return Closed(file)


class Closed:
    """A closed file, as a context."""

    def __init__(self, file: io.IOBase) -> None:
        self.file = file

    def __enter__(self) -> io.IOBase:
        return self.file

    def __exit__(self, *_: object) -> None:
        pass


def test_too_much_content_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = png(RGB_HW3)
    monkeypatch.setattr(crops, "MAX_BYTES", len(content) - 1)
    for crop in (content, io.BytesIO(content)):
        assert "has more than" in str(pixels_of(crop))
