"""Real files of every kind, written here and decoded again, against the pixels they were written from."""

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jersey.data.decode import decode, decode_all
from jersey.data.image_file import BadImage, Picture, picture_of
from jersey.errors import UserError

LOSSY_TOLERANCE = 10  # of 255, at quality 95 without chroma subsampling on a smooth picture

# pytest replaces the filters that the module has set; that they work is tested in a process of its own.
PILLOW_MAY_WARN = pytest.mark.filterwarnings(r"ignore:::PIL\.")


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


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


def write_png_16_bit(path: Path, pixels_HWC: np.ndarray) -> None:
    """A 16-bit PNG of 3 (RGB) or 4 (RGBA) channels, which Pillow can read but not write."""
    height, width, channels = pixels_HWC.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels_HWC)
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([16, {3: 2, 4: 6}[channels], 0, 0, 0])
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(lines)) + png_chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def test_16_bit_colour(tmp_path: Path, rgb_HW3: np.ndarray) -> None:
    write_png_16_bit(tmp_path / "a.png", rgb_HW3.astype(np.uint16) * 256 + 77)
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), rgb_HW3)


def test_16_bit_colour_with_alpha(tmp_path: Path, rgb_HW3: np.ndarray) -> None:
    alpha_HW1 = np.full((*rgb_HW3.shape[:2], 1), 65535, np.uint16)
    alpha_HW1[:5] = 0
    write_png_16_bit(tmp_path / "a.png", np.concatenate([rgb_HW3.astype(np.uint16) * 257, alpha_HW1], axis=-1))
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


def stored_for_orientation(rgb_HW3: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera stores for an upright picture: row 0 and column 0 lie where the EXIF standard's table says."""
    down, left = rgb_HW3[::-1], rgb_HW3[:, ::-1]
    turned = rgb_HW3.transpose(1, 0, 2)
    return {
        1: rgb_HW3,  # row 0 at the top, column 0 at the left
        2: left,  # top, right
        3: down[:, ::-1],  # bottom, right
        4: down,  # bottom, left
        5: turned,  # left, top
        6: left.transpose(1, 0, 2),  # right, top
        7: down[:, ::-1].transpose(1, 0, 2),  # right, bottom
        8: down.transpose(1, 0, 2),  # left, bottom
    }[orientation]


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, rgb_HW3: np.ndarray, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(stored_for_orientation(rgb_HW3, orientation)))
    stored.save(tmp_path / f"a.{suffix}", exif=exif, **({} if suffix in ("png", "tif") else {"quality": 95}))
    assert distance(decode(tmp_path / f"a.{suffix}"), rgb_HW3) <= (0 if suffix in ("png", "tif") else 25)


def test_orientation_of_16_bit_grey(tmp_path: Path, grey_HW: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.ascontiguousarray(wide_grey(grey_HW)[:, ::-1].T)
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), grey3(grey_HW))


def reason(path: Path) -> str:
    with pytest.raises(BadImage) as caught:
        decode(path)
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    assert "\n" not in message
    assert caught.value.path == path
    return caught.value.reason


def test_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "gone.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "nowhere.jpg", tmp_path / "dangling.jpg", tmp_path / "pipe.jpg", tmp_path):
        assert reason(path) == "is not a file"


def test_empty_and_text_files(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("<html>404 Not Found</html>")
    assert reason(tmp_path / "empty.jpg") == "is empty"
    assert "not an image of a known kind" in reason(tmp_path / "text.jpg")


def test_postscript_is_never_run(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg", format="EPS")
    assert "not an image of a known kind" in reason(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert reason(path)


def test_zero_size(tmp_path: Path) -> None:
    header = (0).to_bytes(4) + (5).to_bytes(4) + bytes([8, 2, 0, 0, 0])
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IEND", b""))
    assert reason(tmp_path / "a.png")


@PILLOW_MAY_WARN
@pytest.mark.parametrize("side", [8_000, 12_000, 60_000])
def test_decompression_bomb(tmp_path: Path, side: int) -> None:
    """Below, above and far above the sizes at which Pillow itself warns and gives up."""
    header = side.to_bytes(4) * 2 + bytes([8, 2, 0, 0, 0])
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    assert "more than 50000000" in reason(tmp_path / "a.png")


def test_pixels_without_a_fixed_meaning(tmp_path: Path, grey_HW: np.ndarray) -> None:
    Image.fromarray(grey_HW.astype(np.float32)).save(tmp_path / "float.tif")
    assert "'F'" in reason(tmp_path / "float.tif")
    Image.fromarray(grey_HW.astype(np.int32) - 1).save(tmp_path / "negative.tif")
    Image.fromarray(grey_HW.astype(np.int32) + 65_500).save(tmp_path / "wide.tif")
    for name in ("negative.tif", "wide.tif"):
        assert "outside 0 ... 65535" in reason(tmp_path / name)


@PILLOW_MAY_WARN
def test_random_damage_is_a_bad_image_or_a_picture(tmp_path: Path, rgb_HW3: np.ndarray) -> None:
    generator = np.random.default_rng(2)
    for suffix in ("jpg", "png", "gif", "bmp", "tif", "webp"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(rgb_HW3).save(path)
        content = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(40):
            damaged = content.copy()
            damaged[generator.integers(0, len(content), 4)] = generator.integers(0, 256, 4)
            path.write_bytes(damaged.tobytes())
            with contextlib.suppress(BadImage):
                decoded = decode(path)
                assert decoded.dtype == np.uint8
                assert decoded.shape[2:] == (3,)


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

    pictures_N = decode_all(numbered, keep=keep, workers=workers, description="test")
    assert reds.tolist() == list(range(50))
    assert [Picture.of(row) for row in pictures_N] == [picture_of(path.read_bytes(), path) for path in numbered]


def test_what_is_known_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (5, 3)).save(path)
    (row,) = decode_all([path], keep=lambda row, pixels: None, description="test")
    digest = hashlib.sha256(path.read_bytes()).digest()
    assert Picture.of(row) == Picture(digest, width_px=5, height_px=3, kind="PNG L")


def test_decode_all_of_nothing() -> None:
    assert len(decode_all([], keep=lambda row, pixels: None, description="test")) == 0


def test_rows_are_kept_in_the_workers(numbered: list[Path]) -> None:
    threads = set()
    decode_all(numbered, keep=lambda *_: threads.add(threading.current_thread()), workers=2, description="test")
    assert threads
    assert threading.main_thread() not in threads


def test_decode_all_reports_every_bad_image_at_the_end(numbered: list[Path]) -> None:
    for path in numbered[3:10]:
        path.write_bytes(b"")
    with pytest.raises(UserError) as caught:
        decode_all(numbered, keep=lambda row, pixels: None, description="test")
    message = str(caught.value)
    assert message.startswith("7 of 50 images cannot be used: ")
    assert all(f"{path} is empty" in message for path in numbered[3:8])
    assert str(numbered[8]) not in message
    assert "and 2 more" in message
    assert "\n" not in message


def test_a_defect_in_keep_is_not_taken_for_a_bad_image(numbered: list[Path]) -> None:
    with pytest.raises(ZeroDivisionError):
        decode_all(numbered, keep=lambda row, pixels: 1 // 0, description="test")
