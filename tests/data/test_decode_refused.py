"""Every unusable file raises `BadImage` with a reason, whatever Pillow raises, and takes no memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from robustness.dirty_files import header_of_bomb, png, whole_bomb

from jersey.data.decode import MAX_BYTES, MAX_PIXELS, BadImage, ImageReadError, decode

# pytest replaces the filters that the module has set; another test checks them in a separate process.
PILLOW_MAY_WARN = pytest.mark.filterwarnings(r"ignore:::PIL\.")


GRAY_HW = np.arange(24 * 40, dtype=np.uint16).reshape(24, 40).astype(np.uint8)


def reason(path: Path) -> str:
    with pytest.raises(BadImage) as caught:
        decode(path)
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    assert "\n" not in message
    assert caught.value.path == path
    return caught.value.reason


def test_a_file_that_is_not_an_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "round").symlink_to("about")
    (tmp_path / "about").symlink_to("round")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("<html>404 Not Found</html>")
    Image.new("RGB", (4, 4)).save(tmp_path / "PostScript, which is never run", format="EPS")
    (tmp_path / "no pixels").write_bytes(png(0, 5, bits=8, color=2, lines=b""))
    unreachable = {
        "nowhere": "does not exist",
        "dangling": "does not exist",
        "pipe": "is not a file",
        ".": "is not a file",
    }
    unreachable |= {"long" * 100: "too long", "round": "symbolic links"}
    no_image = "not an image in a supported format"
    damaged = {"empty": "is empty", "text": no_image, "PostScript, which is never run": no_image, "no pixels": ""}
    for name, why in (unreachable | damaged).items():
        assert why in reason(tmp_path / name)
        with pytest.raises(BadImage) as caught:
            decode(tmp_path / name)
        assert isinstance(caught.value, ImageReadError) == (name in unreachable)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp"])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert reason(path)


@PILLOW_MAY_WARN
@pytest.mark.parametrize("side", [8_000, 12_000, 60_000])
def test_a_decompression_bomb_is_refused(tmp_path: Path, side: int) -> None:
    """The sizes are below, above and far above those at which Pillow itself warns and raises."""
    (tmp_path / "a.png").write_bytes(header_of_bomb(side))
    assert f"more than {MAX_PIXELS:,}" in reason(tmp_path / "a.png")


def test_the_max_number_of_pixels_is_decoded(tmp_path: Path) -> None:
    Image.new("1", (MAX_PIXELS // 1000, 1000)).save(tmp_path / "max.png")
    assert decode(tmp_path / "max.png").shape == (1000, MAX_PIXELS // 1000, 3)
    Image.new("1", (MAX_PIXELS // 1000 + 1, 1000)).save(tmp_path / "more.png")
    assert f"more than {MAX_PIXELS:,}" in reason(tmp_path / "more.png")


def test_a_file_of_too_many_bytes_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    os.truncate(tmp_path / "a.jpg", 1000 * MAX_BYTES)  # takes no space on the disk, and would take all memory
    assert f"more than {MAX_BYTES:,}" in reason(tmp_path / "a.jpg")


PROGRAM = """
import pathlib, resource, sys
from jersey.data.decode import BadImage, decode

decode(pathlib.Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[2:]:
    try:
        decode(pathlib.Path(path))
    except BadImage:
        print("refused")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_bombs_take_no_memory(tmp_path: Path) -> None:
    """400 million pixels would take 1,200 MB as RGB, and take 50 MB as bits."""
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    (tmp_path / "whole.png").write_bytes(whole_bomb(20_000))
    (tmp_path / "header.png").write_bytes(header_of_bomb(60_000))
    command = [sys.executable, "-c", PROGRAM, *(tmp_path / f"{name}.png" for name in ("good", "whole", "header"))]
    *refused, grown_kb = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert refused == ["refused"] * 2
    assert int(grown_kb) < 40_000


def test_pixels_without_a_defined_color_are_refused(tmp_path: Path) -> None:
    Image.fromarray(GRAY_HW.astype(np.float32)).save(tmp_path / "float.tif")
    assert "'F'" in reason(tmp_path / "float.tif")
    Image.fromarray(GRAY_HW.astype(np.int32) - 1).save(tmp_path / "negative.tif")
    Image.fromarray(GRAY_HW.astype(np.int32) + 65_500).save(tmp_path / "wide.tif")
    for name in ("negative.tif", "wide.tif"):
        assert "outside 0 ... 65535" in reason(tmp_path / name)


def test_a_name_that_the_locale_cannot_write_is_refused() -> None:
    code = (
        "from pathlib import Path; from jersey.data.decode import BadImage, decode\n"
        "try: decode(Path('\\u00e4.png'))\n"
        "except BadImage as problem: print(problem.reason)\n"
    )
    plain = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | plain, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "has a name that this system's locale cannot write"
