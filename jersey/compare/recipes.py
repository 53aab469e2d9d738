"""Prints a table of experiments: their accuracy on the benchmark set for all, rare and unseen numbers.

    python -m jersey.compare.recipes runs/resnet18_small*/*/

There is one row per experiment, the best first, with its number of runs, and mean and standard deviation of their
accuracies in percent:

- all: on the test split, which contains each number equally often;
- rare: on its ten rarest numbers;
- unseen: on numbers without train crops, with an open vocabulary of every string of at most two digits; 0 for a
  holistic head, which can only predict its labels;
- open: on the test split, with the same open vocabulary.

A line of JSON with the accuracies of every run follows.
"""

# Shapes: N crops, C H W of an image, M = 110 numbers.

import functools
import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import torch
from torch import Tensor

from jersey import config as configs
from jersey.compare.runs import FinishedRun, read_comparable, runs_parser
from jersey.core.console import set_up_console
from jersey.core.errors import UserError, exit_on_user_error
from jersey.core.labels import Labels
from jersey.core.tables import format_table, mean_and_spread
from jersey.data.datamodule import JerseyDataModule
from jersey.data.resize import ResizeMode
from jersey.lint.checks import load
from jersey.models.parts import NUMBERS as ALL_NUMBERS
from jersey.runs.folder import LABELS
from jersey.synth.benchmark import NUMBERS, UNSEEN
from jersey.training.module import JerseyModule

RARE = NUMBERS[-10:]  # the numbers of the benchmark set are sorted by frequency
_BATCH = 250  # crops that are predicted at once; it only limits the memory


@dataclass(frozen=True)
class RecipeScore:
    """The accuracies of one run, as fractions.

    Attributes:
        all: accuracy on the test split.
        rare: accuracy on its ten rarest numbers.
        unseen: accuracy on numbers without train crops, with an open vocabulary.
        open: accuracy on the test split, with an open vocabulary.
    """

    all: float
    rare: float
    unseen: float
    open: float


COLUMNS = tuple(field.name for field in fields(RecipeScore))


def score(run: FinishedRun) -> RecipeScore:
    """Scores a run by its table of test predictions, and by its best weights with an open vocabulary.

    Raises:
        UserError: the run was not trained on the benchmark set.
    """
    _, config = load(run.folder)
    experiment = configs.build(config)
    data = experiment.data(seed=experiment.seed)
    labels = Labels.load(run.folder / LABELS)
    if not {*RARE} <= {*labels.names} or not (data.root / UNSEEN).is_dir():
        raise UserError(f"{run.folder} was not trained on the benchmark set; name runs of --fiddler=benchmark")
    module = experiment.best_module(run.folder)
    seen, unseen = (
        _open_accuracy(module, *_test_split(str(root), data.size_px, data.resize_mode))
        for root in (data.root, data.root / UNSEEN)
    )
    rare_files = [file for file, (_, number) in run.crops.items() if number in RARE]
    return RecipeScore(
        all=float(run.correct_N([*run.crops]).mean()),
        rare=float(run.correct_N(rare_files).mean()),
        unseen=unseen,
        open=seen,
    )


@functools.cache
def _test_split(root: str, size_px: tuple[int, int], resize_mode: ResizeMode) -> tuple[Tensor, tuple[str, ...]]:
    """Returns the test crops of a data set, uint8 [N,3,H,W], and their labels."""
    data = JerseyDataModule(root, seed=0, size_px=size_px, resize_mode=resize_mode, illegible="drop")
    data.setup()
    return data.decoded["test"].images_NCHW, data.splits["test"].labels


@torch.inference_mode()
def _open_accuracy(module: JerseyModule, images_NCHW: Tensor, numbers: Sequence[str]) -> float:
    network = module.network.eval()
    if not network.has_open_vocabulary:
        return 0.0
    return open_accuracy(
        torch.cat([network.open_vocabulary_logits(part) for part in images_NCHW.split(_BATCH)]), numbers
    )


def open_accuracy(open_vocabulary_logits_NM: Tensor, labels: Sequence[str]) -> float:
    """Returns the fraction of crops whose label has the highest logit of all numbers.

    Args:
        open_vocabulary_logits_NM: logits of every string of at most two digits.
        labels: label of each crop.
    """
    predictions = [ALL_NUMBERS[index] for index in open_vocabulary_logits_NM.argmax(dim=1).tolist()]
    return sum(label == each for label, each in zip(labels, predictions, strict=True)) / len(predictions)


def recipe_table(scores: dict[str, list[RecipeScore]]) -> str:
    """Formats one row per experiment, the best first; `scores` has the runs of each experiment, by its name."""
    rows = [["", "runs", *COLUMNS]]
    for name, runs in sorted(scores.items(), key=lambda item: -statistics.mean(run.all for run in item[1])):
        accuracies = [mean_and_spread([getattr(run, column) for run in runs]) for column in COLUMNS]
        rows.append([name, str(len(runs)), *accuracies])
    return "\n".join(format_table(rows))


def main() -> None:
    """Prints the table, and one line of JSON with every run."""
    which = "folder of a finished run on the benchmark set, such as runs/resnet18_small/RUN"
    parser = runs_parser("jersey.compare.recipes", __doc__, which=which)
    with exit_on_user_error():
        set_up_console()
        runs = read_comparable(parser.parse_args().runs)
        scores = {run.folder: score(run) for run in runs}
    by_experiment: dict[str, list[RecipeScore]] = defaultdict(list)
    for folder, each in scores.items():
        by_experiment[folder.parent.name].append(each)
    print(recipe_table(by_experiment))
    print(json.dumps({"bench": "recipes", "runs": {str(folder): asdict(each) for folder, each in scores.items()}}))


if __name__ == "__main__":
    main()
