"""A page as Markdown and as HTML: text with any characters is displayed as written."""

import base64
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from jersey.report.document import Block, CodeBlock, Figure, Heading, TableBlock, Text, as_html, as_markdown

UGLY = "a*b_|<b>&`c`\\ [0](x) 00"


class Browser(HTMLParser):
    """Collects the text that a browser would show, by tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self.sources: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data)


@pytest.fixture
def page(tmp_path: Path) -> list[Block]:
    Image.new("RGB", (3, 2), "red").save(tmp_path / "a.png")
    return [
        Text("the lead", lead=True),
        Heading(UGLY),
        TableBlock(("name", "value"), [(UGLY, "1"), ("x", UGLY)]),
        Figure("a.png", UGLY),
        CodeBlock("old  new\n<b>  0\n"),
    ]


def test_html_shows_every_text_as_it_is(page: list[Block], tmp_path: Path) -> None:
    shown = Browser(as_html(UGLY, page, tmp_path))
    assert shown.open == []
    assert shown.texts["title"] == shown.texts["h1"] == shown.texts["h2"] == [UGLY]
    assert shown.texts["td"] == [UGLY, "1", "x", UGLY]
    assert shown.texts["pre"] == ["old  new\n<b>  0"]
    assert shown.texts["figcaption"] == [UGLY]


def test_html_embeds_its_figures_and_links_no_other_file(page: list[Block], tmp_path: Path) -> None:
    anchor, source = Browser(as_html("page", page, tmp_path)).sources
    assert anchor.startswith("#")
    kind, _, encoded = source.partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(encoded) == (tmp_path / "a.png").read_bytes()


def test_markdown_keeps_columns_links_figures_and_preserves_code_blocks(page: list[Block]) -> None:
    text = as_markdown("page", page)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert all(row.replace("\\|", "").count("|") == 3 for row in rows)
    assert text.startswith("# page\n\n**the lead**\n\n## ")
    assert "](a.png)" in text
    assert "```text\nold  new\n<b>  0\n```" in text
    lines = as_markdown("page", [CodeBlock("a\n```\n# not a heading\n````\n")]).splitlines()
    assert lines[2] == "`````text"
    assert lines[-1] == "`````"
    assert lines.count("`````") == 1
