"""Generates a data set of jersey crops: `python -m jersey.synth OUT --numbers=0,00,7,10-15 --train=1000`."""

import argparse
from pathlib import Path

from jersey.core.command_line import add_option
from jersey.core.errors import UserError, exit_on_user_error, plural
from jersey.synth.generate import generate
from jersey.synth.settings import LAYOUTS, STYLES


def parse_numbers(text: str) -> tuple[str, ...]:
    """Parses "0,00,7,10-15"; the ends of a range have equal length, and leading zeros are kept ("00-03")."""
    numbers = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not dash:
            numbers.append(first)
        elif first.isdigit() and last.isdigit() and len(first) == len(last) and first <= last:
            numbers.extend(f"{value:0{len(first)}d}" for value in range(int(first), int(last) + 1))
        else:
            remedy = "use two ends of equal length, such as 10-15"
            raise UserError(f"{part.strip()!r} is not a range of numbers; {remedy}")
    return tuple(numbers)


def parse_flags() -> argparse.Namespace:
    """Parses the flags of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m jersey.synth",
        description="Generates synthetic crops of jersey numbers as train, val and test splits.",
        epilog="example: python -m jersey.synth generated --numbers=0,00,7,10-15 --train=300 --val=50 --test=50",
    )
    parser.add_argument("out", type=Path, help="folder to create, such as generated")
    for flag, default, text in (
        ("numbers", "00,0-9,10-55", "numbers and ranges, frequent ones first, such as 0,00,7,10-15"),
        ("train", 6000, "number of train crops, such as 300"),
        ("val", 700, "number of val crops, such as 50"),
        ("test", 700, "number of test crops, such as 50"),
        ("size_px", 96, "side of the crops in pixels, or the maximum side in the style varied, such as 64"),
        ("imbalance", 1.0, "ratio of the train crops of the first number to those of the last, such as 64"),
        ("layout", "folders", "layout of the files, such as annotations for JSONL"),
        ("seed", 0, "seed of the crops, such as 1"),
        ("illegible", 0.0, "additional illegible crops as a fraction of each split, such as 0.05"),
        ("frames", 1, "frames per player, such as 30; above 1, tracklets are generated and counted"),
        ("style", "back", "style of the crops, such as varied for all kinds of jerseys, cameras and sizes"),
    ):
        choices = {"layout": LAYOUTS, "style": STYLES}.get(flag, ())
        add_option(parser, flag, default, text, choices=choices)
    parser.add_argument(
        "--fonts", help="folder of font files to print with, such as data/fonts (default: 20 typefaces)"
    )
    return parser.parse_args()


def main() -> None:
    """Generates the data set, then prints what it contains."""
    flags = vars(parse_flags())
    out = flags.pop("out")
    numbers = parse_numbers(flags.pop("numbers"))
    is_new = generate(out, numbers=numbers, **flags)
    unit = "crops" if flags["frames"] == 1 else f"tracklets ({flags['frames']} frames each)"
    counts = f"{flags['train']} train, {flags['val']} val and {flags['test']} test {unit}"
    illegible = f", plus {100 * flags['illegible']:g} % illegible crops" if flags["illegible"] else ""
    side = flags["size_px"]
    size = f"{side} x {side} pixels" if flags["style"] == "back" else f"up to {side} pixels"
    contains = "contains" if is_new else "already contains"
    print(f"{out} {contains} {counts} of {plural(len(numbers), 'number')}{illegible}, {size}")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
