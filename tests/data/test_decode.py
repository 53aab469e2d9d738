"""Real files of every supported kind, one or many, are decoded to the pixels that they were written from."""

import hashlib
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from robustness.dirty_files import png_16_bit, save_oriented

from jersey.data.decode import BadImage, decode, decode_all, decode_image

LOSSY = 10  # max error of 255, at quality 95 without chroma subsampling on a smooth image
BEST = {"quality": 95, "subsampling": 0}


def gray3(gray_HW: np.ndarray) -> np.ndarray:
    return np.repeat(gray_HW[..., None], 3, axis=-1)


def distance(left: np.ndarray, right: np.ndarray) -> int:
    assert left.shape == right.shape
    return int(np.abs(left.astype(int) - right.astype(int)).max())


_Y, _X = np.mgrid[0:24, 0:40]
# A smooth image without any symmetry, so that every rotation and swap of channels shows.
RGB_HW3 = np.stack([_X * 6, _Y * 10, 255 - _X * 3 - _Y * 4], axis=-1).astype(np.uint8)
GRAY_HW = RGB_HW3[..., 0]
CUT_HW3 = RGB_HW3.copy()  # the first five rows are transparent
CUT_HW3[:5] = 0
OPAQUE_BELOW_HW1 = np.full((24, 40, 1), 65535, np.uint16)
OPAQUE_BELOW_HW1[:5] = 0
PALETTE_P3 = np.array([[200, 10, 30], [5, 250, 60], [90, 20, 240]], dtype=np.uint8)
# 16-bit gray whose high byte is GRAY_HW and whose low byte is noise.
GRAY_16_HW = GRAY_HW.astype(np.uint16) * 256 + np.random.default_rng(0).integers(0, 256, GRAY_HW.shape, dtype=np.uint16)


def _paletted() -> Image.Image:
    image = Image.fromarray(GRAY_HW % 3)
    image.putpalette(PALETTE_P3.tobytes())
    return image


def _gray_with_alpha() -> Image.Image:
    alpha_HW = np.where(GRAY_HW > 100, 255, 0).astype(np.uint8)
    return Image.merge("LA", [Image.fromarray(GRAY_HW), Image.fromarray(alpha_HW)])


RGB, GRAY = Image.fromarray(RGB_HW3), Image.fromarray(GRAY_HW)
BIG_ENDIAN = Image.frombytes("I;16B", GRAY_HW.shape[::-1], GRAY_16_HW.astype(">u2").tobytes())
# The image, the suffixes of its files, the mode in which Pillow opens them if that matters, the expected pixels, and
# the tolerance.
KINDS = {
    "color": (RGB, ("png", "bmp", "tif", "tiff", "ppm"), None, RGB_HW3, 0),
    "lossy color": (RGB, ("jpg", "webp"), None, RGB_HW3, LOSSY),
    "gray": (GRAY, ("png", "tif", "gif"), None, gray3(GRAY_HW), 0),
    "lossy gray": (GRAY, ("jpg",), None, gray3(GRAY_HW), LOSSY),
    "one bit": (Image.fromarray(GRAY_HW > 100), ("png",), None, gray3((GRAY_HW > 100) * np.uint8(255)), 0),
    "16 bit gray": (Image.fromarray(GRAY_16_HW), ("png", "tif"), None, gray3(GRAY_HW), 0),
    "16 bit gray, big end first": (BIG_ENDIAN, ("tif",), "I;16B", gray3(GRAY_HW), 0),
    "16 bit gray in 32": (Image.fromarray(GRAY_16_HW.astype(np.int32)), ("tif",), "I", gray3(GRAY_HW), 0),
    "gray with alpha": (_gray_with_alpha(), ("png",), "LA", gray3(np.where(GRAY_HW > 100, GRAY_HW, 0)), 0),
    "palette": (_paletted(), ("png", "gif", "bmp", "tif"), None, PALETTE_P3[GRAY_HW % 3], 0),
    "cmyk": (RGB.convert("CMYK"), ("jpg", "tif"), "CMYK", RGB_HW3, LOSSY),
    "ycbcr": (RGB.convert("YCbCr"), ("tif",), "YCbCr", RGB_HW3, 3),
}


@pytest.mark.parametrize(("kind", "suffix"), [(kind, suffix) for kind in KINDS for suffix in KINDS[kind][1]])
def test_every_kind_of_pixels_becomes_rgb(tmp_path: Path, kind: str, suffix: str) -> None:
    image, _, mode, expected_HW3, tolerance = KINDS[kind]
    path = tmp_path / f"name with spaces 🏀.{suffix}"
    image.save(path, **(BEST if suffix in ("jpg", "webp") else {}))
    with Image.open(path) as opened:
        assert mode in (None, opened.mode)
        assert (kind, suffix) != ("cmyk", "jpg") or "adobe" in opened.info  # so its values are stored inverted
    decoded_HW3 = decode(path)
    assert decoded_HW3.dtype == np.uint8
    assert decoded_HW3.flags.writeable
    assert decoded_HW3.flags.c_contiguous
    assert distance(decoded_HW3, expected_HW3) <= tolerance


@pytest.mark.parametrize(
    ("content", "expected_HW3"),
    [
        (b"P5 40 24 65535\n" + GRAY_16_HW.astype(">u2").tobytes(), gray3(GRAY_HW)),
        (png_16_bit(RGB_HW3.astype(np.uint16) * 256 + 77), RGB_HW3),
        (png_16_bit(np.concatenate([RGB_HW3.astype(np.uint16) * 257, OPAQUE_BELOW_HW1], axis=-1)), CUT_HW3),
    ],
    ids=["gray in a PGM", "color", "color with alpha"],
)
def test_sixteen_bit_files_are_decoded_whatever_their_suffix(
    tmp_path: Path, content: bytes, expected_HW3: np.ndarray
) -> None:
    (tmp_path / "really.jpg").write_bytes(content)
    np.testing.assert_array_equal(decode(tmp_path / "really.jpg"), expected_HW3)


def test_alpha_is_composited_over_black(tmp_path: Path) -> None:
    alpha_HW = np.linspace(0, 255, 40, dtype=np.uint8)[None].repeat(24, axis=0)
    Image.fromarray(np.dstack([RGB_HW3, alpha_HW])).save(tmp_path / "a.png")
    expected = np.rint(RGB_HW3 * (alpha_HW[..., None] / 255))
    assert distance(decode(tmp_path / "a.png"), expected) <= 1
    assert not decode(tmp_path / "a.png")[:, 0].any()


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 255])], ids=["one entry", "alpha of each entry"])
def test_transparent_entries_of_a_palette_are_black(tmp_path: Path, transparency: int | bytes) -> None:
    _paletted().save(tmp_path / "a.png", transparency=transparency)
    palette_P3 = PALETTE_P3.copy()
    palette_P3[1] = 0
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), palette_P3[GRAY_HW % 3])


def test_a_transparent_color_is_black_and_a_single_pixel_is_decoded(tmp_path: Path) -> None:
    pixels = np.array([[[10, 20, 30], [40, 50, 60]]], dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", transparency=(10, 20, 30))
    assert decode(tmp_path / "a.png").tolist() == [[[0, 0, 0], [40, 50, 60]]]
    Image.fromarray(pixels[:, :1]).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png").tolist() == [[[10, 20, 30]]]


@pytest.mark.parametrize("suffix", ["gif", "png", "tif"])
def test_the_first_frame_of_an_animation_is_decoded(tmp_path: Path, suffix: str) -> None:
    first, *rest = (Image.new("RGB", (8, 6), (200, value, 30)) for value in (10, 100, 200))
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=rest)
    np.testing.assert_array_equal(decode(tmp_path / f"a.{suffix}"), np.asarray(first))


@pytest.mark.parametrize(
    ("orientation", "suffix"), [*((each, "png") for each in range(1, 9)), (5, "tif"), (6, "jpg"), (8, "webp")]
)
def test_the_exif_orientation_is_undone(tmp_path: Path, orientation: int, suffix: str) -> None:
    quality = {} if suffix in ("png", "tif") else {"quality": 95}
    save_oriented(tmp_path / f"a.{suffix}", Image.fromarray(RGB_HW3), orientation=orientation, **quality)
    assert distance(decode(tmp_path / f"a.{suffix}"), RGB_HW3) <= (25 if quality else 0)
    save_oriented(tmp_path / "a.png", Image.fromarray(GRAY_16_HW), orientation=orientation)
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), gray3(GRAY_HW))


def test_damaged_metadata_affects_no_pixel_and_prints_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    exif = b"MM\0*\0\0\0\x08\0\x02" + b"\x01\x12\0\x03\0\0\0\x01\0\x02\0\0" + b"\x01\x0f\0\x02\0\0\0"
    Image.fromarray(RGB_HW3[:, ::-1]).save(path, exif=exif)
    code = "import sys, pathlib; from jersey.data.decode import decode; print(decode(pathlib.Path(sys.argv[1])).sum())"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stdout) == RGB_HW3.sum()
    assert done.stderr == ""


@pytest.fixture
def numbered(tmp_path: Path) -> list[Path]:
    """Fifty images; the red of each is its index."""
    paths = [tmp_path / f"{index}.png" for index in range(50)]
    for index, path in enumerate(paths):
        Image.new("RGB", (5, 3), (index, 0, 0)).save(path)
    return paths


def test_many_files_keep_their_rows_in_threads_and_bad_ones_are_reported(numbered: list[Path]) -> None:
    reds, threads = {}, set()

    def store(row: int, pixels_HW3: np.ndarray) -> None:
        reds[row] = int(pixels_HW3[0, 0, 0])
        threads.add(threading.current_thread())

    for path in numbered[3:10]:
        path.write_bytes(b"")
    good = [*range(3), *range(10, 50)]
    image_meta_N, bad = decode_all(numbered, store, description="test")
    assert sorted(reds.items()) == [(row, row) for row in good]
    assert threading.main_thread() not in threads
    for row in good:
        digest, *rest = image_meta_N[row].tolist()
        assert digest.tobytes() == hashlib.sha256(numbered[row].read_bytes()).digest()
        assert rest == [5, 3, b"PNG RGB"]
    assert {row: (each.path, each.reason) for row, each in bad.items()} == {
        row: (numbered[row], "is empty") for row in range(3, 10)
    }


def test_damaged_pixels_are_not_noticed_in_headers_alone(numbered: list[Path]) -> None:
    numbered[1].write_bytes(numbered[1].read_bytes()[:-30])
    assert list(decode_all(numbered, lambda row, pixels: None, description="test")[1]) == [1]
    image_meta_N, bad = decode_all(numbered, None, description="test")
    assert (bad, image_meta_N["width_px"].tolist()) == ({}, [5] * 50)


def test_an_error_in_store_is_not_mistaken_for_a_bad_image(numbered: list[Path]) -> None:
    with pytest.raises(ZeroDivisionError):
        decode_all(numbered, lambda row, pixels: 1 // 0, description="test")


@pytest.mark.parametrize("kind", KINDS)
def test_a_pil_image_has_the_pixels_of_its_file(kind: str, tmp_path: Path) -> None:
    image, suffixes, *_ = KINDS[kind]
    path = tmp_path / f"crop.{suffixes[0]}"
    image.save(path)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(decode_image(opened), decode(path))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pil_image_is_turned_upright(orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "crop.png"
    save_oriented(path, RGB, orientation=orientation)
    for image in (Image.open(path), Image.open(path).convert("RGB")):
        np.testing.assert_array_equal(decode_image(image), RGB_HW3)


def test_the_error_of_a_pil_image_names_its_file_if_it_has_one(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="the PIL image has pixels in Pillow's mode 'F'"):
        decode_image(Image.new("F", (9, 9)))
    RGB.resize((400, 240)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:-1000])
    with pytest.raises(BadImage, match=r"cut\.png cannot be decoded"):
        decode_image(Image.open(tmp_path / "cut.png"))
