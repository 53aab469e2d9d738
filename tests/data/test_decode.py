"""Real files of every kind that can be read, written here and decoded again, against the pixels they hold."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from robustness.dirty_files import png_16_bit, save_oriented

from jersey.data.decode import decode

LOSSY_TOLERANCE = 10  # of 255, at quality 95 without chroma subsampling on a smooth picture


@pytest.fixture
def rgb_HW3() -> np.ndarray:
    """A smooth picture without any symmetry, so that every turn and swap of channels shows."""
    y, x = np.mgrid[0:24, 0:40]
    return np.stack([x * 6, y * 10, 255 - x * 3 - y * 4], axis=-1).astype(np.uint8)


@pytest.fixture
def grey_HW(rgb_HW3: np.ndarray) -> np.ndarray:
    return rgb_HW3[..., 0]


def grey3(grey_HW: np.ndarray) -> np.ndarray:
    return np.repeat(grey_HW[..., None], 3, axis=-1)


def distance(left: np.ndarray, right: np.ndarray) -> int:
    assert left.shape == right.shape
    return int(np.abs(left.astype(int) - right.astype(int)).max())


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff", "ppm"])
def test_lossless_colour(tmp_path: Path, rgb_HW3: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"name with spaces 🏀.{suffix}"
    Image.fromarray(rgb_HW3).save(path)
    decoded = decode(path)
    assert decoded.dtype == np.uint8
    assert decoded.flags.writeable
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, rgb_HW3)


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_colour(tmp_path: Path, rgb_HW3: np.ndarray, suffix: str) -> None:
    Image.fromarray(rgb_HW3).save(tmp_path / f"a.{suffix}", quality=95, subsampling=0)
    assert distance(decode(tmp_path / f"a.{suffix}"), rgb_HW3) <= LOSSY_TOLERANCE


def test_content_counts_not_the_suffix(tmp_path: Path, rgb_HW3: np.ndarray) -> None:
    Image.fromarray(rgb_HW3).save(tmp_path / "really_png.jpg", format="PNG")
    np.testing.assert_array_equal(decode(tmp_path / "really_png.jpg"), rgb_HW3)


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "gif"])
def test_grey(tmp_path: Path, grey_HW: np.ndarray, suffix: str) -> None:
    Image.fromarray(grey_HW).save(tmp_path / f"a.{suffix}")
    assert distance(decode(tmp_path / f"a.{suffix}"), grey3(grey_HW)) <= LOSSY_TOLERANCE


def test_one_bit(tmp_path: Path, grey_HW: np.ndarray) -> None:
    Image.fromarray(grey_HW > 100).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), grey3((grey_HW > 100) * np.uint8(255)))


def test_1x1(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png").tolist() == [[[1, 2, 3]]]


def wide_grey(grey_HW: np.ndarray) -> np.ndarray:
    """16-bit grey whose high byte is `grey_HW` and whose low byte is noise."""
    return grey_HW.astype(np.uint16) * 256 + np.random.default_rng(0).integers(0, 256, grey_HW.shape, dtype=np.uint16)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_keeps_the_high_byte(tmp_path: Path, grey_HW: np.ndarray, suffix: str) -> None:
    Image.fromarray(wide_grey(grey_HW)).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(decode(tmp_path / f"a.{suffix}"), grey3(grey_HW))


def test_16_bit_grey_big_endian(tmp_path: Path, grey_HW: np.ndarray) -> None:
    big_endian = wide_grey(grey_HW).astype(">u2")
    Image.frombytes("I;16B", grey_HW.shape[::-1], big_endian.tobytes()).save(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        assert image.mode == "I;16B"
    np.testing.assert_array_equal(decode(tmp_path / "a.tif"), grey3(grey_HW))


def test_16_bit_grey_that_pillow_opens_as_32_bit(tmp_path: Path, grey_HW: np.ndarray) -> None:
    height, width = grey_HW.shape
    header = f"P5 {width} {height} 65535\n".encode()
    (tmp_path / "a.pgm").write_bytes(header + wide_grey(grey_HW).astype(">u2").tobytes())
    Image.fromarray(wide_grey(grey_HW).astype(np.int32)).save(tmp_path / "a.tif")
    for path in (tmp_path / "a.pgm", tmp_path / "a.tif"):
        with Image.open(path) as image:
            assert image.mode == "I"
        np.testing.assert_array_equal(decode(path), grey3(grey_HW))


def test_16_bit_colour(tmp_path: Path, rgb_HW3: np.ndarray) -> None:
    (tmp_path / "a.png").write_bytes(png_16_bit(rgb_HW3.astype(np.uint16) * 256 + 77))
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), rgb_HW3)


def test_16_bit_colour_with_alpha(tmp_path: Path, rgb_HW3: np.ndarray) -> None:
    alpha_HW1 = np.full((*rgb_HW3.shape[:2], 1), 65535, np.uint16)
    alpha_HW1[:5] = 0
    (tmp_path / "a.png").write_bytes(png_16_bit(np.concatenate([rgb_HW3.astype(np.uint16) * 257, alpha_HW1], axis=-1)))
    expected = rgb_HW3.copy()
    expected[:5] = 0
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), expected)


def test_alpha_is_composited_over_black(tmp_path: Path, rgb_HW3: np.ndarray) -> None:
    alpha_HW = np.linspace(0, 255, 40, dtype=np.uint8)[None].repeat(24, axis=0)
    Image.fromarray(np.dstack([rgb_HW3, alpha_HW])).save(tmp_path / "a.png")
    expected = np.rint(rgb_HW3 * (alpha_HW[..., None] / 255))
    assert distance(decode(tmp_path / "a.png"), expected) <= 1
    assert not decode(tmp_path / "a.png")[:, 0].any()


def test_grey_with_alpha(tmp_path: Path, grey_HW: np.ndarray) -> None:
    alpha_HW = np.where(grey_HW > 100, 255, 0).astype(np.uint8)
    Image.merge("LA", [Image.fromarray(grey_HW), Image.fromarray(alpha_HW)]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), grey3(np.where(grey_HW > 100, grey_HW, 0)))


@pytest.mark.parametrize("suffix", ["png", "gif", "bmp", "tif"])
def test_palette(tmp_path: Path, grey_HW: np.ndarray, suffix: str) -> None:
    indices_HW = grey_HW % 3
    palette_P3 = np.array([[200, 10, 30], [5, 250, 60], [90, 20, 240]], dtype=np.uint8)
    image = Image.fromarray(indices_HW)
    image.putpalette(palette_P3.tobytes())
    image.save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(decode(tmp_path / f"a.{suffix}"), palette_P3[indices_HW])


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 255])], ids=["one entry", "alpha of each entry"])
def test_palette_with_transparency(tmp_path: Path, grey_HW: np.ndarray, transparency: int | bytes) -> None:
    palette_P3 = np.array([[200, 10, 30], [5, 250, 60], [90, 20, 240]], dtype=np.uint8)
    image = Image.fromarray(grey_HW % 3)
    image.putpalette(palette_P3.tobytes())
    image.save(tmp_path / "a.png", transparency=transparency)
    palette_P3[1] = 0
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), palette_P3[grey_HW % 3])


def test_one_transparent_colour(tmp_path: Path) -> None:
    pixels = np.array([[[10, 20, 30], [40, 50, 60]]], dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", transparency=(10, 20, 30))
    assert decode(tmp_path / "a.png").tolist() == [[[0, 0, 0], [40, 50, 60]]]


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(tmp_path: Path, rgb_HW3: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(rgb_HW3).convert("CMYK").save(path, **({"quality": 98} if suffix == "jpg" else {}))
    with Image.open(path) as image:
        assert image.mode == "CMYK"
        assert suffix == "tif" or "adobe" in image.info  # so its values are stored inverted
    assert distance(decode(path), rgb_HW3) <= LOSSY_TOLERANCE


def test_ycbcr(tmp_path: Path, rgb_HW3: np.ndarray) -> None:
    Image.fromarray(rgb_HW3).convert("YCbCr").save(tmp_path / "a.tif")
    assert distance(decode(tmp_path / "a.tif"), rgb_HW3) <= 3


def test_first_frame_of_an_animation(tmp_path: Path, rgb_HW3: np.ndarray) -> None:
    first = Image.new("RGB", (8, 6), (200, 10, 30))
    rest = [Image.new("RGB", (8, 6), (5, value, 60)) for value in (100, 200)]
    for suffix in ("gif", "png", "tif"):
        first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=rest)
        np.testing.assert_array_equal(decode(tmp_path / f"a.{suffix}"), np.asarray(first))


@pytest.mark.parametrize(
    ("orientation", "suffix"), [*((each, "png") for each in range(1, 9)), (5, "tif"), (6, "jpg"), (8, "webp")]
)
def test_exif_orientation(tmp_path: Path, rgb_HW3: np.ndarray, orientation: int, suffix: str) -> None:
    quality = {} if suffix in ("png", "tif") else {"quality": 95}
    save_oriented(tmp_path / f"a.{suffix}", Image.fromarray(rgb_HW3), orientation=orientation, **quality)
    assert distance(decode(tmp_path / f"a.{suffix}"), rgb_HW3) <= (0 if suffix in ("png", "tif") else 25)


def test_orientation_of_16_bit_grey(tmp_path: Path, grey_HW: np.ndarray) -> None:
    save_oriented(tmp_path / "a.png", Image.fromarray(wide_grey(grey_HW)), orientation=6)
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), grey3(grey_HW))


def test_damaged_metadata_spoils_no_picture_and_prints_nothing(tmp_path: Path, rgb_HW3: np.ndarray) -> None:
    path = tmp_path / "a.png"
    exif = b"MM\0*\0\0\0\x08\0\x02" + b"\x01\x12\0\x03\0\0\0\x01\0\x02\0\0" + b"\x01\x0f\0\x02\0\0\0"
    Image.fromarray(rgb_HW3[:, ::-1]).save(path, exif=exif)
    program = (
        "import sys, pathlib; from jersey.data.decode import decode; print(decode(pathlib.Path(sys.argv[1])).sum())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, timeout=120, check=True
    )
    assert int(done.stdout) == rgb_HW3.sum()
    assert done.stderr == ""
