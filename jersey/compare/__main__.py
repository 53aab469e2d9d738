"""Compares runs: `python -m jersey.compare RUN_A... -- RUN_B...`.

Exit code 0 whatever is found, 2 where the runs cannot be compared.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from jersey.compare.comparison import compare, comparison_json, comparison_text
from jersey.compare.runs import read_run
from jersey.core.errors import exit_on_user_error


def parse_flags(arguments: Sequence[str]) -> tuple[list[Path], list[Path], argparse.Namespace]:
    """The runs of A, the runs of B, and the flags, which may stand on either side."""
    parser = argparse.ArgumentParser(
        prog="python -m jersey.compare",
        usage="%(prog)s [--json] [--rare N] RUN_A... -- RUN_B...",
        description="Says whether runs B read the test crops better than runs A, each with several seeds if possible.",
    )
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="folder of a finished run")
    parser.add_argument("--json", action="store_true", help="print everything found as JSON")
    parser.add_argument("--rare", type=int, default=10, metavar="N", help="score the N rarest numbers apart (10)")
    split = arguments.index("--") if "--" in arguments else len(arguments)
    flags = parser.parse_args(arguments[:split])
    runs_a = flags.runs
    flags = parser.parse_args(arguments[split + 1 :], namespace=flags)
    if flags.rare < 0:
        parser.error(f"--rare {flags.rare} is negative")
    return runs_a, flags.runs, flags


def main() -> None:
    """Compares and prints."""
    runs_a, runs_b, flags = parse_flags(sys.argv[1:])
    found = compare([read_run(path) for path in runs_a], [read_run(path) for path in runs_b], rare=flags.rare)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names may have characters that the terminal lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    print(comparison_json(found) if flags.json else comparison_text(found), end="")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
