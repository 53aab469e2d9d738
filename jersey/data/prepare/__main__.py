"""Runs the command: `python -m jersey.data.prepare SOURCE OUT --fractions=0.7,0.15,0.15`."""

import argparse
import math
import shlex

from jersey.core.command_line import add_option, path_argument
from jersey.core.console import escape_missing_characters
from jersey.core.errors import UserError, exit_on_user_error, plural
from jersey.data.audit.copies import MAX_DIFFERENCE, CopyRule
from jersey.data.label_files import DESCRIPTIONS
from jersey.data.prepare.folds import plan_folds, table_of
from jersey.data.prepare.grouping import groups_of, near_duplicates
from jersey.data.prepare.plan import make_plan, parse_fractions
from jersey.data.prepare.source import read_source
from jersey.data.prepare.writer import LAYOUTS, checked_output, require_representable, write, write_folds


def parse_flags() -> argparse.Namespace:
    """Parses the flags of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m jersey.data.prepare",
        description=(
            "Writes a data set with train, val and test. Crops without splits are divided by number; tracklets and "
            "near duplicates are never torn apart. Splits that exist are kept. Boxes of COCO and YOLO exports are cut "
            "into crops. The source is not changed."
        ),
        epilog="Exit code: 0 if the data set was written, 2 if not. "
        "Example: python -m jersey.data.prepare crops prepared --dry_run",
    )
    parser.add_argument(
        "source",
        type=path_argument,
        metavar="SOURCE",
        help="folder of crops in any layout that training reads, with or without splits; a label file; or a folder "
        "with boxes of COCO or YOLO, such as crops",
    )
    parser.add_argument("out", type=path_argument, metavar="OUT", help="new or empty folder, such as prepared")
    add_option(
        parser,
        "fractions",
        "0.7,0.15,0.15",
        "fractions of train, val and test, of which the last may be 0, such as 0.8,0.2,0",
    )
    parser.add_argument(
        "--folds",
        type=int,
        metavar="N",
        help="write N data sets for cross-validation instead, in which each crop of train and val is val once, such as "
        "--folds=5",
    )
    parser.add_argument(
        "--group",
        metavar="REGEX",
        help="keep crops together whose paths below SOURCE have the same match, or the same first group in it, such as "
        "--group='game[0-9]+'",
    )
    parser.add_argument("--resplit", action="store_true", help="split anew what already has splits")
    add_option(parser, "seed", 0, "seed of the splits, such as 1")
    add_option(parser, "layout", "jsonl", "layout of OUT, such as folders for one folder per number", choices=LAYOUTS)
    parser.add_argument(
        "--format",
        choices=tuple(DESCRIPTIONS),
        help="how SOURCE is labeled, where its files can be understood in two ways, such as --format=csv (default: "
        "recognized)",
    )
    add_option(parser, "margin", 0.0, "fraction of a box's width and height to add on each side, such as 0.1")
    parser.add_argument("--link", action="store_true", help="link images instead of copying them")
    parser.add_argument("--dry_run", action="store_true", help="print the plan, and write nothing")
    add_option(
        parser,
        "max_difference",
        MAX_DIFFERENCE,
        "how much near duplicates may differ, as in the audit, such as 0.2 for scans of plain digits",
    )
    parser.add_argument("--no_mirror", action="store_true", help="do not look for mirrored copies, as in the audit")
    return parser.parse_args()


def main() -> None:
    """Prints the plan, writes the data set, and prints the next command."""
    flags = parse_flags()
    fractions = parse_fractions(flags.fractions)
    if not (math.isfinite(flags.margin) and 0 <= flags.margin <= 1):
        raise UserError(f"--margin={flags.margin:g} must be at least 0 and at most 1, such as 0.1")
    if flags.folds is not None and flags.folds < 2:
        raise UserError(f"--folds={flags.folds} must be at least 2, such as 5")
    if flags.seed < 0:
        raise UserError(f"--seed={flags.seed} must not be negative, such as 1")
    rule = CopyRule(max_difference=flags.max_difference, mirrored=not flags.no_mirror)
    source = read_source(flags.source, data_format=flags.format)
    out = checked_output(flags.out, source.root)
    has_boxes = any(crop.box is not None for crop in source.crops)
    if flags.link and has_boxes:
        raise UserError("--link links whole images, and boxes are cut into new ones; leave it out")
    if flags.margin and not has_boxes:
        raise UserError(f"--margin is for boxes, and {source.root} has none; leave it out")
    copies_N = near_duplicates(source, margin=flags.margin, rule=rule)
    group_N = groups_of(source, copies_N, flags.group)
    escape_missing_characters()
    if flags.folds is not None:
        plans = plan_folds(source, group_N, flags.folds, seed=flags.seed)
        require_representable(plans[0], flags.layout)
        print(table_of(plans), flush=True)
        if not flags.dry_run:
            write_folds(plans, out, layout=flags.layout, link=flags.link, margin=flags.margin)
        print(f"{flags.out} {'would have' if flags.dry_run else 'has'} {plural(len(plans), 'data set')}")
        return
    plan = make_plan(source, group_N, fractions, seed=flags.seed, resplit=flags.resplit)
    require_representable(plan, flags.layout)
    print(plan.text(), flush=True)
    counts = ", ".join(f"{len(crops):,} {split}" for split, crops in plan.splits.items())
    if flags.dry_run:
        print(f"{flags.out} would have {counts} crops; leave out --dry_run to write them")
        return
    write(plan, out, layout=flags.layout, link=flags.link, margin=flags.margin)
    total = sum(map(len, plan.splits.values()))
    print(f"{flags.out} has {plural(total, 'crop')}: {counts}")
    print(f"next: python -m jersey.data.audit {shlex.quote(str(flags.out))}")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
