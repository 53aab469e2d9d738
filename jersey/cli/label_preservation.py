"""Measures how many labels the augmentation of a run destroys, operation by operation.

    python -m jersey.cli.label_preservation runs/quickstart/RUN

See `jersey.evaluation.label_preservation`.
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
    """Prints a row an operation, the worst first, and what the whole does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run, or its config.json")
    parser.add_argument("--size_px", type=int, help="of the drawn crops; the run's own when left out")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    flags = parser.parse_args()
    with exit_on_user_error():
        set_up_console()
        _, config = load(flags.run)
        augment = configs.build(config.module).keywords.get("augment")
        found = by_operation(augment, size_px=flags.size_px or min(config.data.size_px), rounds=flags.rounds)
    print(preservation_table(found))
    print(json.dumps({"bench": "survival", "worst": worst(found), **asdict(found[TOGETHER])}))


if __name__ == "__main__":
    main()
