"""Tests whether runs B are more accurate on the test crops than runs A.

    python -m jersey.compare runs/resnet18_small_no_ema/*/ -- runs/resnet18_small/*/

Use at least three seeds per side. The method is described in `jersey.compare.statistics`. The exit code is 0 whatever
the result, and 2 if the runs cannot be compared.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jersey.compare.comparison import compare, comparison_json, comparison_text
from jersey.compare.runs import read_run
from jersey.core.console import escape_missing_characters
from jersey.core.errors import exit_on_user_error


def parse_flags(arguments: Sequence[str]) -> tuple[list[Path], list[Path], argparse.Namespace]:
    """Returns the runs of A, the runs of B, and the flags, which are accepted on either side."""
    parser = argparse.ArgumentParser(
        prog="python -m jersey.compare",
        usage="%(prog)s [--json] [--rare N] RUN_A... -- RUN_B...",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs", type=Path, nargs="*", metavar="RUN", help="folder of a finished run, such as runs/quickstart/RUN"
    )
    parser.add_argument("--json", action="store_true", help="print all results as JSON")
    parser.add_argument(
        "--rare",
        type=int,
        default=10,
        metavar="N",
        help="number of labels with the fewest train crops that are also scored alone, such as 5 (default: 10)",
    )
    split = arguments.index("--") if "--" in arguments else len(arguments)
    flags = parser.parse_args(arguments[:split])
    runs_a = flags.runs
    flags = parser.parse_args(arguments[split + 1 :], namespace=flags)
    if flags.rare < 0:
        parser.error(f"--rare={flags.rare} is negative; set it to 0 or more")
    return runs_a, flags.runs, flags


def main() -> None:
    """Compares the runs of the command line and prints the result."""
    runs_a, runs_b, flags = parse_flags(sys.argv[1:])
    found = compare([read_run(path) for path in runs_a], [read_run(path) for path in runs_b], rare=flags.rare)
    escape_missing_characters()
    print(comparison_json(found) if flags.json else comparison_text(found), end="")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
