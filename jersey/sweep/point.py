"""One point of a sweep, as plain data, and the folder name that it gives.

The name is a function of the assignments alone. The same sweep again, or a larger one, therefore finds its folders.
"""

import ast
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

LONGEST_VALUE, LONGEST_NAME = 40, 150

_SAFE = re.compile(r"[a-z0-9_+.-]+")  # no capitals: to some file systems "A" and "a" are one name
_LIKE_NO_TEXT = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?(e[-+]\d+)?|none|true|false")


@dataclass(frozen=True)
class Assignment:
    """The value of one axis.

    Args:
        path: of the parameter, in full.
        name: the shortest ending of the path that means it, for people.
        text: the value, as an override takes it.
    """

    path: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}={self.text}"

    @property
    def override(self) -> str:
        """What `--fdl_set` takes."""
        return f"{self.path}={self.text}"


@dataclass(frozen=True)
class Point:
    """One run's difference from its experiment.

    Args:
        assignments: a value for each axis, in the order of the axes.
        config_text: the flat print of the whole config, which identifies it.
    """

    assignments: tuple[Assignment, ...]
    config_text: str

    def __str__(self) -> str:
        return ", ".join(map(str, self.assignments))


def folder_name(assignments: Iterable[Assignment]) -> str:
    """`lr=0.0001,seed=0`: safe in every shell and on every file system, and different for different assignments."""
    parts = [f"{_safe(each.name)}={_safe(each.text)}" for each in assignments]
    return _cut(",".join(parts), LONGEST_NAME)


def short_hash(text: str) -> str:
    """Six hexadecimal digits that stand for `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _safe(text: str) -> str:
    """`text` in safe characters, with a hash behind it where that loses something."""
    plain = _without_quotes(text)
    if _SAFE.fullmatch(plain) or text in ("None", "True", "False"):
        return _cut(plain, LONGEST_VALUE)
    rough = re.sub(r"[^A-Za-z0-9+.-]+", "_", plain).strip("_")
    return f"{rough[:LONGEST_VALUE]}-{short_hash(text)}".lstrip("-")


def _without_quotes(text: str) -> str:
    """A text such as `'stretch'` without its quotes; `'0'` and `'None'` keep them, being neither 0 nor None."""
    if text[:1] not in ("'", '"'):
        return text
    plain = ast.literal_eval(text)
    return text if _LIKE_NO_TEXT.fullmatch(plain) else plain


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}-{short_hash(text)}"
