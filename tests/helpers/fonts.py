"""Font files for tests: parts of a font of matplotlib under another family name."""

import importlib.util
import io
from functools import cache
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

DIGITS = "0123456789"
_NAME_OF_FAMILY = 1  # in a font's table of names


def write_font(path: Path, family: str, *, text: str = DIGITS, face: str = "DejaVuSans-Bold") -> None:
    """Writes a font that contains the characters of `text` alone; the suffix of `path` is its format.

    Args:
        path: file to write, with the suffix ".ttf", ".otf", ".ttc", ".woff" or ".woff2" (which needs brotli).
        family: name of the font's family.
        text: all characters of the font.
        face: file of matplotlib to take the characters from, without its suffix.
    """
    font = TTFont(io.BytesIO(_part(face, text)))
    for entry in font["name"].names:
        if entry.nameID == _NAME_OF_FAMILY:
            entry.string = family
    font.flavor = path.suffix[1:] if path.suffix.startswith(".woff") else None
    path.parent.mkdir(parents=True, exist_ok=True)
    font.save(path)


@cache
def _part(face: str, text: str) -> bytes:
    (package,) = importlib.util.find_spec("matplotlib").submodule_search_locations
    font = TTFont(Path(package) / "mpl-data" / "fonts" / "ttf" / f"{face}.ttf")
    options = subset.Options(drop_tables=[*subset.Options().drop_tables, "FFTM"], notdef_outline=False)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=text)
    subsetter.subset(font)
    file = io.BytesIO()
    font.save(file)
    return file.getvalue()
