"""Scores exported files on a data set: `python -m jersey.evaluate MODEL [MODEL ...] ROOT`.

Several files are scored on the same images, and each is compared with the first in pairs. Images that cannot be read,
and images with labels that a file does not know, are excluded from every metric and counted. The exit code is 0, or 1
if a file is below `--min_accuracy`, or 2 if the command cannot start. Without `--out` it needs no torch.

Shapes: N images, K labels of a file.
"""

import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from jersey.compare.statistics import Gain, accuracy_gain
from jersey.core.atomic import create_folder, require_folder
from jersey.core.command_line import parser_for
from jersey.core.console import escape_missing_characters
from jersey.core.errors import UserError, escape_control, exit_on_user_error, plural, summarize
from jersey.core.labels import ILLEGIBLE, SplitName
from jersey.core.tables import format_table, percent, write_csv
from jersey.data.decode import BadImage, decode
from jersey.data.files import expand_home
from jersey.data.index import UNSPLIT, Index, read_index, read_unsplit
from jersey.data.label_files import Format
from jersey.data.layout import MissingSplits
from jersey.data.problems import combined
from jersey.data.split import Split, relative_name
from jersey.evaluation.calibration import wilson_interval
from jersey.inference.decision import DecisionRule, Prediction
from jersey.inference.onnx_model import OnnxModel

MAX_NAMED = 5  # excluded images that are named
MODELS, OTHER_OUT = "models.csv", "choose another --out"
HEADER = ("model", "accuracy", "correct / total", "95 % interval", "abstained", "gain", "95 % interval", "p")


@dataclass(frozen=True)
class Images:
    """The logits of every file for the images that all files can be scored on.

    Attributes:
        rows: row of each image in its split.
        names: path of each image relative to the root of the data.
        labels: label of each image.
        logits: logits of each file, float32 [N,K].
        excluded: sentences about the excluded images.
    """

    rows: Sequence[int]
    names: Sequence[str]
    labels: Sequence[str]
    logits: Sequence[np.ndarray]
    excluded: Sequence[str]


@dataclass(frozen=True)
class Score:
    """The predictions of a file for the legible images.

    Attributes:
        model: path of the file, as it was given.
        predictions: prediction for each image.
        correct_N: whether each is correct, bool; an abstention is not.
        gain: gain in accuracy over the first file; None for the first.
    """

    model: Path
    predictions: Sequence[Prediction]
    correct_N: np.ndarray
    gain: Gain | None

    @property
    def accuracy(self) -> float:
        """Fraction of the images that are correct."""
        return float(self.correct_N.mean())


def main(
    models: Sequence[Path],
    root: Path,
    out: str | None = None,
    split: SplitName | None = None,
    format: Format | None = None,
    roster: str | None = None,
    min_accuracy: float | None = None,
) -> int:
    """Scores files, prints a table, and returns the exit code.

    Args:
        models: exported files, such as runs/quickstart/RUN/model.onnx.
        root: folder of the data set, in which only the evaluated split is needed.
        out: folder, new or empty or of an earlier call, for `models.csv`, `labels.csv`, `predictions.csv` and the page
            of each file, which needs the packages for training.
        split: split to evaluate on; by default test, or all crops of a folder without splits.
        format: how the splits are labeled, where their files can be understood in two ways, such as csv; recognized by
            default.
        roster: numbers that may occur, such as 4,8,23,00; any by default.
        min_accuracy: accuracy that every file must reach, such as 0.95.

    Raises:
        UserError: a file, the data or `out` cannot be used, or no image of the split has a label that the files know.
    """
    if min_accuracy is not None and not 0 <= min_accuracy <= 1:
        raise UserError(f"--min_accuracy={min_accuracy:g} is not a fraction of the images; give one from 0 to 1")
    folder = None if out is None else Path(expand_home(out))
    if folder is not None:
        require_folder(folder, own=MODELS, remedy=OTHER_OUT)
    numbers = None if roster is None else [part.strip() for part in roster.split(",") if part.strip()]
    files = load(models)
    rules = [DecisionRule(file.labels.names, labels=file.labels.names, roster=numbers) for file in files.values()]
    problems: list[UserError] = []
    index = read_index(root, problems.append, data_format=format)
    name: str = split or "test"
    if split is None and not index.splits:
        problems.clear()
        index, name = read_unsplit(root, problems.append, data_format=format), UNSPLIT
    # Only one split is evaluated, so the others need not exist.
    if problems := [each for each in problems if not isinstance(each, MissingSplits)]:
        raise combined(problems, index.root)
    if name not in index.splits:
        raise UserError(f"{root} has no {name} split; evaluate another one, such as --split=val")
    escape_missing_characters()
    print("".join(f"{line}\n" for line in recognized(index)), end="", flush=True)
    images = predict(files, index.splits[name], root)
    scores = scores_of(files, rules, images)
    source = f"{name} of {root}" + (f" with the roster {','.join(numbers)}" if numbers else "")
    print("\n".join([*images.excluded, f"{plural(len(scores[0].predictions), 'image')}, {source}", *table_of(scores)]))
    if folder is not None:
        write(folder, scores, images)
        evaluated = "overall" if name == UNSPLIT else name  # as in "overall accuracy"
        print(write_pages(folder, files, images, source=source, split=evaluated, has_roster=numbers is not None))
    below = [score for score in scores if min_accuracy is not None and score.accuracy < min_accuracy]
    for score in below:
        print(f"{score.model}: {percent(score.accuracy)} is below --min_accuracy={min_accuracy:g}", file=sys.stderr)
    return 1 if below else 0


def load(paths: Sequence[Path]) -> dict[Path, OnnxModel]:
    """Returns the exported files by path; raises UserError if one cannot be used, or is given twice."""
    if len(set(paths)) < len(paths):
        raise UserError("a MODEL is given twice; name each file once")
    files = {path: OnnxModel(path) for path in paths}
    for path, file in files.items():
        if file.is_static:
            raise UserError(f"{path} takes crops of one size only; use the model.onnx beside it, which takes any")
    return files


def recognized(index: Index) -> Iterator[str]:
    """Yields lines on how the data was understood: the layout, warnings, and the files that are not used."""
    yield from (escape_control(note) for note in index.notes)
    yield from (f"warning: {escape_control(warning)}" for warning in index.all_warnings)
    yield from index.table.splitlines()


def predict(files: Mapping[Path, OnnxModel], split: Split, root: Path) -> Images:
    """Predicts every image of a split in its original size with every file; an image is decoded once.

    Raises:
        UserError: no image has a label that all files know.
    """
    excluded: dict[str, list[str]] = {}
    rows: list[int] = []
    logits: list[list[np.ndarray]] = [[] for _ in files]
    images = zip(split.paths, split.labels, strict=True)
    for row, (path, label) in enumerate(tqdm(images, desc="predicting", total=len(split), unit="image", disable=None)):
        name = relative_name(path, root)
        unknown = [
            model for model, file in files.items() if label != ILLEGIBLE and label not in file.labels.class_to_idx
        ]
        if unknown:
            excluded.setdefault(f"{unknown[0]} does not know the label", []).append(f"{name} ({label})")
            continue
        try:
            image_1CHW = np.ascontiguousarray(decode(path).transpose(2, 0, 1))[None]
        except BadImage as problem:
            excluded.setdefault("the image cannot be read", []).append(f"{name} {problem.reason}")
            continue
        rows.append(row)
        for file, found in zip(files.values(), logits, strict=True):
            found.append(file.logits(image_1CHW)[0])
    labels = [split.labels[row] for row in rows]
    if all(label == ILLEGIBLE for label in labels):
        which = "all models" if len(files) > 1 else "the model"
        raise UserError(f"no image of {split.name} in {root} has a label of {which}; choose data with such labels")
    sentences = [
        f"Excluded because {reason} ({len(each):,}): {summarize(each, limit=MAX_NAMED)}."
        for reason, each in excluded.items()
    ]
    names = [relative_name(split.paths[row], root) for row in rows]
    return Images(rows, names, labels, [np.stack(each) for each in logits], sentences)


def scores_of(files: Mapping[Path, OnnxModel], rules: Sequence[DecisionRule], images: Images) -> list[Score]:
    """Returns the score of each file on the legible images, compared with the first."""
    is_legible_N = np.array(images.labels) != ILLEGIBLE
    labels = [label for label in images.labels if label != ILLEGIBLE]
    scores: list[Score] = []
    for (path, file), rule, logits_NK in zip(files.items(), rules, images.logits, strict=True):
        scaled_NK = logits_NK[is_legible_N] / file.temperature
        exp_NK = np.exp(scaled_NK - scaled_NK.max(axis=1, keepdims=True))
        predictions = rule.predictions(exp_NK / exp_NK.sum(axis=1, keepdims=True))
        correct_N = np.array([each.number == label for each, label in zip(predictions, labels, strict=True)])
        gain = accuracy_gain(scores[0].correct_N, correct_N) if scores else None
        scores.append(Score(path, predictions, correct_N, gain))
    return scores


def table_of(scores: Sequence[Score]) -> Iterator[str]:
    """Yields the lines of the table; the columns of the gain are left out for one file."""
    rows = [HEADER]
    for score in scores:
        correct, total = int(score.correct_N.sum()), len(score.correct_N)
        low, high = map(percent, wilson_interval(correct, total))
        abstained = sum(each.number is None for each in score.predictions)
        gain = ("", "", "")
        if score.gain:
            interval = f"{100 * score.gain.low:+.1f} to {100 * score.gain.high:+.1f}"
            gain = (f"{100 * score.gain.gain:+.1f}", interval, f"{score.gain.p:.3f}")
        numbers = (percent(score.accuracy), f"{correct:,} / {total:,}", f"{low} to {high}", f"{abstained:,}")
        rows.append((str(score.model), *numbers, *gain))
    yield from format_table(rows if len(scores) > 1 else [row[:-3] for row in rows], is_numeric=True)
    if len(scores) > 1:
        yield f"Gains are percentage points over {scores[0].model}, on the same images."


def write(out: Path, scores: Sequence[Score], images: Images) -> None:
    """Writes the tables of models, labels and predictions.

    Raises:
        UserError: the folder cannot be created.
    """
    create_folder(out, remedy=OTHER_OUT)
    legible = [(name, label) for name, label in zip(images.names, images.labels, strict=True) if label != ILLEGIBLE]
    columns = ("model", "accuracy", "correct", "total", "low", "high", "gain", "gain_low", "gain_high", "p")
    rows = []
    for score in scores:
        correct, total = int(score.correct_N.sum()), len(score.correct_N)
        gain = (score.gain.gain, score.gain.low, score.gain.high, score.gain.p) if score.gain else ("",) * 4
        rows.append((score.model, score.accuracy, correct, total, *wilson_interval(correct, total), *gain))
    write_csv(out / MODELS, columns, rows)
    labels_N = np.array([label for _, label in legible])
    label_rows = (
        (score.model, label, int((labels_N == label).sum()), int(score.correct_N[labels_N == label].sum()))
        for score in scores
        for label in sorted(set(labels_N.tolist()))
    )
    write_csv(out / "labels.csv", ("model", "label", "images", "correct"), label_rows)
    prediction_rows = (
        (score.model, name, label, each.number or "", f"{each.confidence:.6f}", int(is_correct))
        for score in scores
        for (name, label), each, is_correct in zip(legible, score.predictions, score.correct_N, strict=True)
    )
    write_csv(
        out / "predictions.csv", ("model", "image", "label", "predicted", "confidence", "correct"), prediction_rows
    )


def write_pages(
    out: Path, files: Mapping[Path, OnnxModel], images: Images, *, source: str, split: str, has_roster: bool
) -> str:
    """Writes the page of each file, `out/report.html`, or `out/model_2/report.html` and so on for several files.

    Returns:
        A sentence that names the results, and why there is no page if there is none.
    """
    if has_roster:
        return f"see {out}; it has no page, because a page describes a file without a roster"
    if not all(importlib.util.find_spec(name) for name in ("torch", "matplotlib")):
        return f'see {out}; it has no page, because that needs pip install "jersey[train]"'
    from jersey.report.data_page import write_page  # imports torch

    for number, ((path, file), logits_NK) in enumerate(zip(files.items(), images.logits, strict=True), start=1):
        folder = out if len(files) == 1 else out / f"model_{number}"
        write_page(
            file,
            logits_NK,
            images.labels,
            images.rows,
            title=f"{path} on {source}",
            source=source,
            split=split,
            excluded=images.excluded,
            out=folder,
        )
    return f"see {out / ('report.html' if len(files) == 1 else 'model_1/report.html')}"


def command() -> int:
    """Runs the command line."""
    return main(**vars(parser_for("jersey.evaluate", __doc__, main).parse_args()))


if __name__ == "__main__":
    with exit_on_user_error():
        sys.exit(command())
