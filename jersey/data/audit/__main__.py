"""Runs the audit as a command: `python -m jersey.data.audit ROOT --reader --html=review.html`."""

import argparse
import dataclasses
import os
import sys
from pathlib import Path

from jersey.core.atomic import write_text
from jersey.core.command_line import path_argument
from jersey.core.console import escape_missing_characters
from jersey.core.errors import UserError, exit_on_user_error
from jersey.data.audit import audit_folder
from jersey.data.audit.copies import MAX_DIFFERENCE, CopyRule
from jersey.data.audit.page import review_page
from jersey.data.audit.review import review
from jersey.data.label_files import DESCRIPTIONS
from jersey.inference import Predictor


def parse_flags() -> argparse.Namespace:
    """Parses the flags of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m jersey.data.audit",
        description=(
            "Counts the images of a data set and finds unusable files, conflicting labels, labels that a split lacks, "
            "and copies of an image in one split or several, even if re-encoded, resized or mirrored. With a reader it "
            "also finds suspicious labels."
        ),
        epilog="Exit code: 0 without errors (warnings are allowed), 1 with errors, 2 if the command cannot start. "
        "Example: python -m jersey.data.audit generated --fast",
    )
    parser.add_argument(
        "root", type=Path, metavar="ROOT", help="folder that holds train, val and perhaps test, such as generated"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print all findings with all their images as JSON, such as --json > audit.json",
    )
    parser.add_argument(
        "--format",
        choices=tuple(DESCRIPTIONS),
        help="how the splits are labeled, where their files can be understood in two ways, such as --format=csv "
        "(default: recognized)",
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="decode headers only, such as for a first look at a large data set; damaged pixels and copies with other "
        "bytes are not found",
    )
    parser.add_argument(
        "--reader",
        nargs="?",
        type=path_argument,
        const=True,
        metavar="FILE",
        help="also list labels that a reader contradicts, labeled images that it finds illegible, and similar images "
        "with different labels; FILE is the model.onnx of a run, such as --reader=runs/quickstart/RUN/model.onnx "
        "(default: the reader of the package)",
    )
    parser.add_argument(
        "--max_difference",
        type=float,
        default=MAX_DIFFERENCE,
        help="how much copies of an image may differ, as a fraction of its contrast; smaller is stricter, such as 0.2 "
        "for scans of plain digits (default: %(default)s)",
    )
    parser.add_argument(
        "--no_mirror",
        action="store_true",
        help="do not look for mirrored copies, such as in a set of scans where 2 resembles a mirrored 5",
    )
    parser.add_argument(
        "--html",
        type=path_argument,
        metavar="OUT",
        help="write a page with the pictures of what the reader finds, such as --html=review.html",
    )
    return parser.parse_args()


def check_flags(flags: argparse.Namespace) -> None:
    """Raises UserError if flags contradict each other or the page cannot be written."""
    if flags.html is not None and flags.reader is None:
        raise UserError("--html shows what a reader finds; add --reader")
    if flags.reader is not None and flags.fast:
        raise UserError("--fast decodes headers only, and --reader needs the pixels; leave one of them out")
    if flags.fast and (flags.no_mirror or flags.max_difference != MAX_DIFFERENCE):
        raise UserError("--fast finds identical files only; leave out --max_difference and --no_mirror")
    if flags.html is not None and (flags.html.is_dir() or not os.access(flags.html.absolute().parent, os.W_OK)):
        raise UserError(f"cannot write {flags.html}; --html names a file in a folder that exists and can be written")


def main() -> int:
    """Audits the data set, prints the result and returns the exit code."""
    flags = parse_flags()
    check_flags(flags)
    rule = CopyRule(max_difference=flags.max_difference, mirrored=not flags.no_mirror)
    if flags.reader is None:
        audit = audit_folder(flags.root, fast=flags.fast, data_format=flags.format, rule=rule)
    else:
        reader = Predictor(None if flags.reader is True else flags.reader, top_k=1)
        audit = audit_folder(flags.root, data_format=flags.format, rule=rule)
        found = review(audit, reader).findings(audit.findings)
        audit = dataclasses.replace(audit, findings=(*audit.findings, *found))
    if flags.html is not None:
        write_text(flags.html, review_page(audit.root, audit.rows, audit.findings))
    escape_missing_characters()
    print(audit.to_json() if flags.json else audit.text(), end="")
    return 1 if audit.errors else 0


if __name__ == "__main__":
    with exit_on_user_error():
        sys.exit(main())
