"""A page of headings, sentences, tables and pictures, written as Markdown or as one HTML file with all in it."""

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


class Heading(NamedTuple):
    """Of a section."""

    text: str


class Text(NamedTuple):
    """A paragraph; `lead` is the one that says it all."""

    text: str
    lead: bool = False


class TableBlock(NamedTuple):
    """A header and rows of as many cells."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


class Figure(NamedTuple):
    """A PNG file in the folder of the page."""

    file: str
    caption: str


class CodeBlock(NamedTuple):
    """Text whose lines and spaces stay."""

    text: str


Block = Heading | Text | TableBlock | Figure | CodeBlock


def as_markdown(title: str, blocks: Sequence[Block]) -> str:
    """The page, with pictures as links to their files."""
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
    """Text of which Markdown makes nothing else: a file name may hold stars and bars."""
    return re.sub(r"([\\`*_|<\[\]])", r"\\\1", " ".join(text.split()))


def as_html(title: str, blocks: Sequence[Block], folder: Path) -> str:
    """The page as one file that can be sent: the pictures of `folder` are inside."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    body = "\n".join([f"<h1>{escape(title)}</h1>", *(_html(block, folder) for block in blocks)])
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
