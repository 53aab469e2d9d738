"""A page of headings, paragraphs, tables and figures, written as Markdown or as one self-contained HTML file."""

import base64
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .2rem .8rem .2rem 0; text-align: left; }
th, td { border-bottom: 1px solid #ddd; vertical-align: top; } td { font-variant-numeric: tabular-nums; }
img { max-width: 100%; height: auto; } pre { overflow-x: auto; background: #f6f6f6; padding: .8rem; }
.lead { font-size: 1.25rem; font-weight: 600; } figure { margin: 1rem 0; } figcaption { color: #666; }
"""
_VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'  # readable on a phone


class Heading(NamedTuple):
    """The heading of a section.

    Attributes:
        text: text in one line.
    """

    text: str


class Text(NamedTuple):
    """A paragraph.

    Attributes:
        text: plain text.
        lead: whether it summarizes the page, in bold type.
    """

    text: str
    lead: bool = False


class TableBlock(NamedTuple):
    """A table.

    Attributes:
        header: names of the columns.
        rows: rows, each with as many cells as the header.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


class Figure(NamedTuple):
    """An image.

    Attributes:
        file: name of a PNG file in the folder of the page.
        caption: text below the image.
    """

    file: str
    caption: str


class CodeBlock(NamedTuple):
    """Text whose line breaks and spaces are preserved.

    Attributes:
        text: lines.
    """

    text: str


Block = Heading | Text | TableBlock | Figure | CodeBlock


def as_markdown(title: str, blocks: Sequence[Block]) -> str:
    """Formats the page as Markdown, with links to the image files."""
    return "\n\n".join([f"# {_plain(title)}", *map(_markdown, blocks)]) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {_plain(text)}"
        case Text(text, lead):
            return f"**{_plain(text)}**" if lead else _plain(text)
        case TableBlock(header, rows):
            lines = (header, ["---"] * len(header), *([_plain(cell) for cell in row] for row in rows))
            return "\n".join(f"| {' | '.join(line)} |" for line in lines)
        case Figure(file, caption):
            return f"![{_plain(caption)}]({file})"
        case CodeBlock(text):
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            return f"{fence}text\n{text.rstrip()}\n{fence}"


def _plain(text: str) -> str:
    """Puts the text into one line and escapes Markdown's special characters, which file names may contain."""
    return re.sub(r"([\\`*_|<\[\]])", r"\\\1", " ".join(text.split()))


def as_html(title: str, blocks: Sequence[Block], folder: Path) -> str:
    """Formats the page as one HTML file, with the image files of `folder` embedded."""
    return html_page(title, "\n".join(_html(block, folder) for block in blocks))


def html_page(title: str, body: str, *, style: str = "") -> str:
    """Formats an HTML file.

    Args:
        title: plain text of the title and the first heading.
        body: HTML below this heading.
        style: CSS in addition to that of every page.
    """
    head = f'<meta charset="utf-8">{_VIEWPORT}<title>{escape(title)}</title><style>{_STYLE}{style}</style>'
    body = f"<h1>{escape(title)}</h1>\n{body}"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def _html(block: Block, folder: Path) -> str:
    match block:
        case Heading(text):
            return f"<h2>{escape(text)}</h2>"
        case Text(text, lead):
            return f'<p class="lead">{escape(text)}</p>' if lead else f"<p>{escape(text)}</p>"
        case TableBlock(header, rows):
            lines = [_row("th", header), *(_row("td", row) for row in rows)]
            return "<table>\n" + "\n".join(lines) + "\n</table>"
        case Figure(file, caption):
            encoded = base64.b64encode((folder / file).read_bytes()).decode("ascii")
            image = f'<img src="data:image/png;base64,{encoded}" alt="{escape(caption)}">'
            return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"
        case CodeBlock(text):
            return f"<pre>{escape(text.rstrip())}</pre>"


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
