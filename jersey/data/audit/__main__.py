"""Runs the audit as a command: `python -m jersey.data.audit ROOT`."""

import argparse
import io
import sys
from pathlib import Path

from jersey.core.errors import exit_on_user_error
from jersey.data.audit import audit_folder


def parse_flags() -> argparse.Namespace:
    """Parses the flags of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m jersey.data.audit",
        description=(
            "Counts the images of a data set and finds unusable files, conflicting labels, labels that a split lacks, "
            "and copies of an image in one split or several, even if re-encoded, resized or mirrored."
        ),
        epilog="Exit code: 0 without errors (warnings are allowed), 1 with errors, 2 if ROOT holds no data set. "
        "Example: python -m jersey.data.audit generated --fast",
    )
    parser.add_argument(
        "root", type=Path, metavar="ROOT", help="folder that holds train, val and test, such as generated"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print all findings with all their images as JSON, such as --json > audit.json",
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="decode headers only, such as for a first look at a large data set; damaged pixels and copies with other "
        "bytes are not found",
    )
    return parser.parse_args()


def main() -> int:
    """Audits the data set, prints the result and returns the exit code."""
    flags = parse_flags()
    audit = audit_folder(flags.root, fast=flags.fast)
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names may have characters that the terminal lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    print(audit.to_json() if flags.json else audit.text(), end="")
    return 1 if audit.errors else 0


if __name__ == "__main__":
    with exit_on_user_error():
        sys.exit(main())
