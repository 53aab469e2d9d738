"""A page of headings, paragraphs, tables and figures, written as Markdown or as one self-contained HTML file."""

import base64
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from jersey.core.errors import escape_control

_STYLE = """
:root { color-scheme: light dark; --text: #222; --muted: #595959; --line: #ddd; --page: #fff; --code: #f6f6f6; }
@media (prefers-color-scheme: dark) {
  :root { --text: #ddd; --muted: #a8a8a8; --line: #444; --page: #181818; --code: #262626; }
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
body { color: var(--text); background: var(--page); overflow-wrap: anywhere; } a { color: inherit; }
.scroll { overflow-x: auto; margin: 1rem 0; } table { border-collapse: collapse; overflow-wrap: normal; }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
.wide td { white-space: nowrap; } td { font-variant-numeric: tabular-nums; }
td:last-child { overflow-wrap: anywhere; min-width: 6rem; }
pre { overflow-x: auto; background: var(--code); padding: .8rem; } nav li { display: inline-block; margin-right: 1rem; }
nav ul { padding: 0; } .lead { font-size: 1.25rem; font-weight: 600; }
figure { margin: 1.5rem 0; } figcaption { color: var(--muted); } figure input { position: absolute; opacity: 0; }
figure input:focus-visible + img { outline: 2px solid; } figure img { max-width: 100%; height: auto; }
label.scroll { display: block; margin: 0; } figure img { background: #fff; cursor: zoom-in; }
figure input:checked + img { max-width: none; cursor: zoom-out; }
@page { size: A4; margin: 15mm; }
@media print {
  :root { --text: #000; --muted: #333; --line: #aaa; --page: #fff; --code: #fff; }
  body { font-size: 10pt; max-width: none; margin: 0; padding: 0; } nav { display: none; } h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; } figure img { max-height: 240mm; } pre { white-space: pre-wrap; }
}
"""
# Readable on a phone.
_VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'
# A browser runs and fetches nothing, even if text from a file were not escaped.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_HEAD = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">{_VIEWPORT}'


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
        caption: text above the image.
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
            return f"{fence}text\n{_code(text)}\n{fence}"


def _plain(text: str) -> str:
    """Puts the text into one line and escapes Markdown's special characters, which file names may contain."""
    return re.sub(r"([\\`*_|<\[\]])", r"\\\1", _line(text))


def _line(text: str) -> str:
    """Puts the text into one line that shows each character in its place."""
    return escape_control(" ".join(text.split()))


def _code(text: str) -> str:
    return "\n".join(map(escape_control, text.rstrip().expandtabs().split("\n")))


def as_html(title: str, blocks: Sequence[Block], folder: Path) -> str:
    """Formats the page as one HTML file with links to its sections, and the image files of `folder` embedded."""
    headings = [block.text for block in blocks if isinstance(block, Heading)]
    links = "".join(f'<li><a href="#{_anchor(text)}">{_escaped(text)}</a></li>' for text in headings)
    contents = [f"<nav><ul>{links}</ul></nav>"] if headings else []
    return html_page(title, "\n".join(contents + [_html(block, folder) for block in blocks]))


def _anchor(text: str) -> str:
    return "-".join(re.findall(r"\w+", text.lower()))


def html_page(title: str, body: str, *, style: str = "") -> str:
    """Formats an HTML file.

    Args:
        title: plain text of the title and the first heading.
        body: HTML below this heading.
        style: CSS in addition to that of every page.
    """
    head = f"{_HEAD}<title>{_escaped(title)}</title><style>{_STYLE}{style}</style>"
    body = f"<h1>{_escaped(title)}</h1>\n{body}"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def _html(block: Block, folder: Path) -> str:
    match block:
        case Heading(text):
            return f'<h2 id="{_anchor(text)}">{_escaped(text)}</h2>'
        case Text(text, lead):
            return f'<p class="lead">{_escaped(text)}</p>' if lead else f"<p>{_escaped(text)}</p>"
        case TableBlock(header, rows):
            lines = [_row("th", header), *(_row("td", row) for row in rows)]
            kind = "scroll" if len(header) == 2 else "scroll wide"
            return f'<div class="{kind}"><table>\n' + "\n".join(lines) + "\n</table></div>"
        case Figure(file, caption):
            encoded = base64.b64encode((folder / file).read_bytes()).decode("ascii")
            image = f'<img src="data:image/png;base64,{encoded}" alt="{_escaped(caption)}">'
            # A tap checks the invisible box, and the image then has its full size.
            enlarging = f'<label class="scroll"><input type="checkbox">{image}</label>'
            return f"<figure><figcaption>{_escaped(caption)}</figcaption>{enlarging}</figure>"
        case CodeBlock(text):
            return f"<pre>{escape(_code(text))}</pre>"


def _escaped(text: str) -> str:
    return escape(_line(text))


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{_escaped(cell)}</{tag}>" for cell in cells) + "</tr>"
