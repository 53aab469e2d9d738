"""Prints a table of test accuracy by experiment and by the number of train crops of each label, and plots it.

    python -m jersey.compare.learning_curve runs/resnet18_finetune/*/ runs/resnet18_small/*/ --reader --plot=curve.png

Each row is an experiment, each column a value of `data.crops_per_label`; "all" has every crop. A cell is the accuracy
in percent, as mean and standard deviation over the runs. With `--reader`, the pretrained reader reads the same test
crops, with all its numbers possible, as the row of 0 crops.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from jersey.compare.runs import FinishedRun, config_value, read_comparable, runs_parser
from jersey.core.atomic import atomic_write
from jersey.core.command_line import path_argument
from jersey.core.console import set_up_console
from jersey.core.errors import UserError, exit_on_user_error, plural
from jersey.core.tables import count_name, markdown_table, mean_and_spread
from jersey.data.files import is_folder

READER = "pretrained reader"

Accuracies = dict[str, dict[float, list[float]]]
"""The accuracy of each run, by experiment and by crops of each label, from few to infinity, which is every crop."""


def accuracies(runs: Sequence[FinishedRun]) -> Accuracies:
    """Returns the test accuracy of each run, by experiment and by its crops of each label."""
    found: defaultdict[str, defaultdict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        found[run.folder.parent.name][_crops_per_label(run)].append(float(run.correct_N([*run.crops]).mean()))
    return {name: dict(sorted(counts.items())) for name, counts in found.items()}


def _crops_per_label(run: FinishedRun) -> float:
    return config_value(run.config, "data.crops_per_label") or math.inf


def reader_accuracy(run: FinishedRun) -> float:
    """Returns the accuracy of the pretrained reader on the run's test crops.

    Raises:
        UserError: the crops have moved or cannot be read.
    """
    from jersey.inference import Predictor  # only this column needs onnxruntime

    root = Path(config_value(run.config, "data.root") or "")
    files, correct = [*run.crops], 0
    if missing := [file for file in files if not (root / file).is_file()]:
        raise UserError(
            f"--reader reads the test crops again, and {len(missing):,} of {plural(len(files), 'crop')} of {run.folder}"
            f" are not in {root.absolute()}, such as {missing[0]}; put them back there, start the command in the "
            "folder in which the run was started, or leave --reader out"
        )
    for file, prediction in zip(files, Predictor().predict_all([root / file for file in files]), strict=True):
        if isinstance(prediction, UserError):
            raise prediction
        correct += prediction.number == run.crops[file][1]
    return correct / len(files)


def table(found: Accuracies) -> list[str]:
    """Returns the lines of a Markdown table with one row per experiment."""
    counts = sorted({count for each in found.values() for count in each})
    rows = [["crops of each number", *map(count_name, counts)]]
    for name, each in found.items():
        rows.append([name, *(mean_and_spread(each[count]) if count in each else "" for count in counts)])
    return markdown_table(rows)


def main() -> None:
    """Prints the table, and writes the plot."""
    which = "folder of a finished run, such as runs/resnet18_small/RUN"
    parser = runs_parser("jersey.compare.learning_curve", __doc__, which=which)
    parser.add_argument("--reader", action="store_true", help="add the pretrained reader, which is not fine-tuned")
    parser.add_argument("--plot", type=path_argument, metavar="FILE", help="image to write, such as curve.png")
    with exit_on_user_error():
        set_up_console()
        flags = parser.parse_args()
        if flags.plot and (flags.plot.suffix != ".png" or not is_folder(flags.plot.parent)):
            raise UserError(f"--plot={flags.plot} is not a .png file in a folder that exists; choose another name")
        if flags.plot:
            from jersey.plots.learning_curve import learning_curve  # only the plot needs matplotlib
        runs = read_comparable(flags.runs)
        found = accuracies(runs)
        if flags.reader:
            found = {READER: {0: [reader_accuracy(runs[0])]}, **found}
        print("\n".join(table(found)))
        if flags.plot:
            image = learning_curve(found, title=f"{len(runs[0].crops):,} test crops")
            with atomic_write(flags.plot) as temporary:
                image.save(temporary, "PNG")


if __name__ == "__main__":
    main()
