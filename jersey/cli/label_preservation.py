"""Measures what fraction of the labels stays correct under the augmentation of a run, per operation.

    python -m jersey.cli.label_preservation runs/quickstart/RUN

The method is described in `jersey.evaluation.label_preservation`.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from jersey import config as configs
from jersey.core.console import set_up_console
from jersey.core.errors import exit_on_user_error
from jersey.evaluation.label_preservation import ROUNDS, TOGETHER, by_operation, preservation_table, worst
from jersey.lint.checks import load


def main() -> None:
    """Prints one row per operation, the worst first, and one for all operations together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder or its config.json, e.g. runs/quickstart/RUN")
    parser.add_argument("--size_px", type=int, help="size of the synthetic crops, e.g. 64 (default: that of the run)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"augmentations of each crop (default: {ROUNDS})")
    flags = parser.parse_args()
    with exit_on_user_error():
        set_up_console()
        _, config = load(flags.run)
        augment = configs.build(config.module).keywords.get("augment")
        found = by_operation(augment, size_px=flags.size_px or min(config.data.size_px), rounds=flags.rounds)
    print(preservation_table(found))
    print(json.dumps({"bench": "label_preservation", "worst": worst(found), **asdict(found[TOGETHER])}))


if __name__ == "__main__":
    main()
