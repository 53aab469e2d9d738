"""Licenses of all pinned packages, as the table in docs/security.md: `PYTHONPATH=tests python -m helpers.licenses`."""

import re
from collections import defaultdict
from importlib import metadata

from helpers.repository import REPOSITORY

from jersey.core.tables import markdown_table

DOCUMENT = REPOSITORY / "docs" / "security.md"
_PIN = re.compile(r'^    "([a-z0-9_.-]+)==', re.MULTILINE)
PINS = list(dict.fromkeys(_PIN.findall((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))))
BLOCK = re.compile(r"(?<=<!-- licenses: begin -->\n).*?(?=<!-- licenses: end -->)", re.DOTALL)
UNCHECKED = "not checked, of the group `bench`"
BENCH = ("ddddocr", "omegaconf", "opencv-python-headless", "pyclipper", "rapidocr", "rapidocr-onnxruntime", "shapely")
NOT_STATED = "not stated"
# The first that matches names the license.
FAMILIES = {
    "NVIDIA": "NVIDIA|Proprietary",
    "MPL-2.0": "MPL|Mozilla",
    "PSF-2.0": "Python Software|PSF",
    "Apache-2.0": "Apache",
    "MIT": "MIT|CMU",
    "BSD": "BSD|0BSD",
    "ZPL-2.1": "ZPL",
    NOT_STATED: NOT_STATED,
}


def license_of(package: str) -> str:
    """Returns the family of a package's license; packages that `uv sync` does not install are not checked."""
    if package in BENCH:
        return UNCHECKED
    found = metadata.metadata(package)
    classifiers = [each for each in found.get_all("Classifier", []) if each.startswith("License")]
    stated = found.get("License-Expression") or " ".join(classifiers) or found.get("License") or ""
    return next(family for family, pattern in FAMILIES.items() if re.search(pattern, stated or NOT_STATED))


def table() -> str:
    """Returns the table, with the packages of each license."""
    packages: dict[str, list[str]] = defaultdict(list)
    for package in PINS:
        packages[license_of(package)].append(package)
    rows = [(name, str(len(found)), ", ".join(found)) for name, found in sorted(packages.items())]
    return "\n".join(markdown_table([("license", "packages", "names"), *rows])) + "\n"


def main() -> None:
    """Updates the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(BLOCK.sub(lambda _: table(), text), encoding="utf-8")


if __name__ == "__main__":
    main()
