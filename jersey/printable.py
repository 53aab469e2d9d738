"""Text of others, such as file names, for messages of one line."""

import unicodedata


def printable(text: str) -> str:
    """Text on one line, in UTF-8: what would break a line or cannot be encoded is written as Python escapes it."""
    return "".join(
        ascii(character)[1:-1] if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") else character
        for character in text
    )
