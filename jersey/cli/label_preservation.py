"""Measures what fraction of the labels remains valid under the augmentation of a run, in total and per operation.

    python -m jersey.cli.label_preservation runs/quickstart/RUN

The method is described in `jersey.evaluation.label_preservation`.
"""

import json
from dataclasses import asdict
from pathlib import Path

from jersey import config as configs
from jersey.core.command_line import parser_for
from jersey.core.console import set_up_console
from jersey.core.errors import exit_on_user_error
from jersey.evaluation.label_preservation import ROUNDS, TOGETHER, by_operation, preservation_table, worst
from jersey.lint.checks import load


def measure(run: Path, size_px: int | None = None, rounds: int = ROUNDS) -> None:
    """Prints one row per operation, the worst first, then one for all operations together, and one line of JSON.

    Args:
        run: run folder or its config.json, such as runs/quickstart/20261121-101500.
        size_px: side of the synthetic crops in pixels, such as 64; by default the shorter side in the run.
        rounds: number of augmentations of each crop, such as 20.
    """
    _, config = load(run)
    augment = configs.build(config.module).keywords.get("augment")
    found = by_operation(augment, size_px=size_px or min(config.data.size_px), rounds=rounds)
    print(preservation_table(found))
    print(json.dumps({"bench": "label_preservation", "worst": worst(found), **asdict(found[TOGETHER])}))


def main() -> None:
    """Runs the command."""
    with exit_on_user_error():
        set_up_console()
        measure(**vars(parser_for("jersey.cli.label_preservation", __doc__, measure).parse_args()))


if __name__ == "__main__":
    main()
