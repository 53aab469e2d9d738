"""Small files that would become large, or take long, are refused before that, in every format that is read."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jersey.data.decode import FORMATS, MAX_PIXELS, MAX_SCANS, BadImage, decode_content
from jersey.synth.crop import render_crop
from jersey.synth.typefaces import TRAIN

SIDE_PX = 4600  # more than MAX_PIXELS
MAX_MB = 32  # decoded, the smallest of these images has 60 MB
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
OPTIONS = {"AVIF": {"speed": 10, "quality": 20}, "TIFF": {"compression": "tiff_adobe_deflate"}}


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def peak_mb(action: Callable[[], object]) -> float:
    """Returns by how much an action raises the peak memory of the process."""
    try:
        CLEAR_REFS.write_text("5", encoding="ascii")  # resets the peak
    except OSError:
        pytest.skip("the peak of memory cannot be reset here")
    before = _peak_kib()
    action()
    return (_peak_kib() - before) / 1024


def _peak_kib() -> int:
    (line,) = (line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "HEIF"])
def test_a_whole_image_with_too_many_pixels_is_refused_before_they_are_decoded(kind: str) -> None:
    content = encoded(Image.new("RGB", (SIDE_PX, SIDE_PX), "red"), kind, **OPTIONS.get(kind, {}))

    def refused() -> None:
        with pytest.raises(BadImage, match=f"has {SIDE_PX**2:,} pixels, more than {MAX_PIXELS:,}"):
            decode_content(content, Path("a"))

    assert peak_mb(refused) < MAX_MB


CROP = Image.fromarray(render_crop("23", rng=np.random.default_rng(0), typefaces=TRAIN, size_px=64).image_HW3)


def with_scans(content: bytes, count: int) -> bytes:
    """Repeats the last scan of a JPEG."""
    scan = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + scan * count + content[-2:]


@pytest.mark.parametrize("progressive", [True, False])
def test_a_jpeg_of_many_scans_is_refused(progressive: bool) -> None:
    """220 kB of 20,000 scans took 24 s for 4,400 x 4,400 pixels."""
    content = with_scans(encoded(CROP, "JPEG", progressive=progressive), 20_000)
    with pytest.raises(BadImage, match=rf"has 20,0\d\d scans, more than {MAX_SCANS}"):
        decode_content(content, Path("a"))


@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
@pytest.mark.parametrize("progressive", [True, False])
def test_bytes_like_scans_in_metadata_and_after_the_image_are_not_counted(progressive: bool, kind: str) -> None:
    """Phones append a film, and cameras a second image."""
    content = encoded(CROP, kind, progressive=progressive)
    imitation = b"\xff\xda" * 1000
    segment = b"\xff\xe9" + struct.pack(">H", 2 + len(imitation)) + imitation
    pixels_HW3 = decode_content(content, Path("a"))
    np.testing.assert_array_equal(decode_content(content + imitation, Path("a")), pixels_HW3)
    if kind == "JPEG":  # in an MPO, later places are absolute
        np.testing.assert_array_equal(decode_content(content[:2] + segment + content[2:], Path("a")), pixels_HW3)


def test_an_unusable_image_prints_nothing_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    """Pillow logs an error for a TIFF of 60,000 samples per pixel."""
    entries = [(256, 4, 64), (257, 4, 64), (258, 3, 8), (259, 3, 1), (262, 3, 2), (277, 3, 60_000), (273, 4, 8)]
    entries += [(278, 4, 64), (279, 4, 10)]
    fields = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in sorted(entries))
    content = b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + bytes(4)
    with pytest.raises(BadImage):
        decode_content(content, Path("a"))
    assert capfd.readouterr() == ("", "")
