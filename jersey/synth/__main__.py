"""Draws a data set of jersey crops: `python -m jersey.synth OUT --numbers=0,00,7,10-15 --train=1000`."""

import argparse
from pathlib import Path

from jersey.core.errors import UserError, exit_on_user_error
from jersey.synth.generate import generate
from jersey.synth.settings import LAYOUTS


def parse_numbers(text: str) -> tuple[str, ...]:
    """Reads "0,00,7,10-15"; a range has two ends of equal length, and keeps leading zeros ("00-03")."""
    numbers = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not dash:
            numbers.append(first)
        elif first.isdigit() and last.isdigit() and len(first) == len(last) and first <= last:
            numbers.extend(f"{value:0{len(first)}d}" for value in range(int(first), int(last) + 1))
        else:
            mend = "write two ends of equal length, such as 10-15"
            raise UserError(f"{part.strip()!r} is not a range of numbers; {mend}")
    return tuple(numbers)


def parse_flags() -> argparse.Namespace:
    """The flags of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m jersey.synth", description="Draws crops of players' backs as train, val and test splits."
    )
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--numbers", default="00,0-9,10-55", help="such as 0,00,7,10-15; frequent ones first")
    parser.add_argument("--train", type=int, default=6000, help="train crops in all (default: %(default)s)")
    parser.add_argument("--val", type=int, default=700, help="val crops in all (default: %(default)s)")
    parser.add_argument("--test", type=int, default=700, help="test crops in all (default: %(default)s)")
    parser.add_argument("--size_px", type=int, default=96, help="side of a crop (default: %(default)s)")
    ratio = "train crops of the first number per crop of the last"
    parser.add_argument("--imbalance", type=float, default=1.0, help=ratio)
    parser.add_argument("--layout", choices=LAYOUTS, default="folders")
    parser.add_argument("--seed", type=int, default=0)
    share = "illegible crops more in each split, as a share of its crops"
    parser.add_argument("--illegible", type=float, default=0.0, help=share)
    frames = "pictures of each player; above 1, tracklets are drawn and counted"
    parser.add_argument("--frames", type=int, default=1, help=frames)
    return parser.parse_args()


def main() -> None:
    """Draws, then says what lies where."""
    flags = vars(parse_flags())
    out = flags.pop("out")
    numbers = parse_numbers(flags.pop("numbers"))
    generate(out, numbers=numbers, **flags)
    drawn = "crops" if flags["frames"] == 1 else f"tracklets ({flags['frames']} frames each)"
    counts = f"{flags['train']} train, {flags['val']} val and {flags['test']} test {drawn}"
    more = f", {100 * flags['illegible']:g} % illegible ones more" if flags["illegible"] else ""
    print(f"{out} holds {counts} of {len(numbers)} numbers{more}, {flags['size_px']} x {flags['size_px']} pixels")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
