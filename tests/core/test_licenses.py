"""The table of licenses in docs/security.md is that of the pinned packages."""

from helpers.licenses import BLOCK, DOCUMENT, PINS, table


def test_the_table_of_the_document_is_current() -> None:
    assert len(PINS) > 100
    assert BLOCK.findall(DOCUMENT.read_text(encoding="utf-8")) == [table()]
