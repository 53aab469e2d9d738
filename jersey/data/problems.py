"""What is wrong with the index of a data set, as it is told: one problem at a time, or all in one sentence."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from jersey.core.errors import UserError, escape_control

SHOWN = 5

Complain = Callable[[UserError], None]


class TwoLabels(UserError):
    """Rows that give one image several labels; they are in the index when `complain` returns."""


def all_in_one(problems: Sequence[UserError], root: Path) -> UserError:
    """The problem, or the first of many and how to see the others."""
    if len(problems) == 1:
        return UserError(escape_control(str(problems[0])))
    first = " ".join(f"({number}) {problem}" for number, problem in enumerate(problems[:SHOWN], start=1))
    rest = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    sentence = f"{root} has {len(problems)} problems: {first}{rest}; `{audit_command(root)}` lists all"
    return UserError(escape_control(sentence))


def audit_command(root: Path) -> str:
    """What prints everything that is wrong with a data set."""
    return f"python -m jersey.data.audit {escape_control(shlex.quote(str(root)))}"


def require_clean(name: str, *, what: str = "label", where: str) -> None:
    """Refuses a label, or what else names crops, that does not look like what it is."""
    if name != name.strip():
        raise UserError(f"{where}: the {what} {name!r} has white space around it; remove that")
    if not name.isprintable():
        raise UserError(f"{where}: the {what} {name!r} has characters that cannot be seen or written; rename it")
