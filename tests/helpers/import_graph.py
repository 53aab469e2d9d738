"""The imports between packages as a matrix; `PYTHONPATH=tests python -m helpers.import_graph` updates the document."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from helpers.repository import REPOSITORY

LIBRARY = sorted((REPOSITORY / "jersey").rglob("*.py"))
DOCUMENT = REPOSITORY / "docs" / "architecture.md"
NESTED = ("data/prepare", "data/audit")  # packages in a package that have their own place in the order
BEGIN, END = "<!-- imports: begin -->\n```text\n", "```\n<!-- imports: end -->"


def names_imported_by(path: Path) -> Iterator[str]:
    """Yields the dotted names that a file imports anywhere, such as `jersey.core.labels.Labels`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package_of(path: Path) -> str:
    """Returns the package below `jersey` of a file, or the file's own name; "" for `jersey/__init__.py`."""
    parts = path.relative_to(REPOSITORY / "jersey").with_suffix("").parts
    return _package(parts).replace("__init__", "")


def package_named(name: str) -> str | None:
    """Returns the package below `jersey` of a dotted name; None for a name of another library."""
    first, *parts = name.split(".")
    return _package(parts) if first == "jersey" and parts else None


def _package(parts: Sequence[str]) -> str:
    return next((nested for nested in NESTED if list(parts[:2]) == nested.split("/")), parts[0])


def imported_packages() -> dict[str, set[str]]:
    """Returns for each package the other packages of jersey that it imports."""
    found: dict[str, set[str]] = {}
    for path in LIBRARY:
        imported = {package_named(name) for name in names_imported_by(path)} - {None, package_of(path)}
        found.setdefault(package_of(path), set()).update(filter(None, imported))
    return found


def matrix(order: list[str]) -> str:
    """Formats one row per package, with an `x` below the number of each package that it imports."""
    imports, width = imported_packages(), max(map(len, order))
    lines = [" " * (width + 4) + " ".join(f"{number:2}" for number in range(1, len(order) + 1))]
    for number, name in enumerate(order, start=1):
        marks = ["\\" if other == name else "x" if other in imports[name] else "." for other in order]
        lines.append(f"{number:2} {name:<{width}} " + " ".join(f"{mark:>2}" for mark in marks))
    return "\n".join(lines) + "\n"


def with_matrix(text: str, order: list[str]) -> str:
    """Returns the document with an updated matrix."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + matrix(order) + END + rest.split(END)[1]


def order_of(text: str) -> list[str]:
    """Returns the packages from top to bottom, as the document's table lists them."""
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return [row.split("`")[1].removesuffix(".py") for row in rows]


if __name__ == "__main__":
    content = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(with_matrix(content, order_of(content)), encoding="utf-8")
