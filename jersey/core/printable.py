"""Text from files, made safe to print: names of files and labels come from whoever made the data set."""

import re

# Control characters (an escape sequence could rewrite a terminal), line and paragraph separators, halves of surrogates.
_BREAKING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(text: str) -> str:
    """Text on one line, in UTF-8: what would break a line or cannot be encoded is written as Python escapes it."""
    return _BREAKING.sub(lambda found: ascii(found[0])[1:-1], text)
