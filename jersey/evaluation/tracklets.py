"""Measures the accuracy on tracklets by number of frames, with and without a roster.

    python -m jersey.evaluation.tracklets model.onnx data/benchmark/tracklets/test --roster=12

The folder contains `<number>/<tracklet>/*.jpg`. The predictions on windows of 1, 3, 10 and 30 consecutive frames are
pooled. Each tracklet has its own roster: its number, and others that are sampled. A prediction of another number is
incorrect, and so is an abstention. Coverage is the fraction of windows above the confidence for the target precision,
and `precision` is the accuracy on those.
"""

# Shapes: N crops of a split, F frames, W windows of frames, K classes.

import argparse
import itertools
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from jersey.core.console import set_up_console
from jersey.core.errors import UserError, exit_on_user_error, plural
from jersey.core.labels import ILLEGIBLE_INDEX
from jersey.core.tables import format_table, percent
from jersey.evaluation.calibration import wilson_interval
from jersey.inference import Predictor
from jersey.inference.decision import DecisionRule, Prediction, confidence_for
from jersey.inference.sources import images_below
from jersey.inference.tracklet import pool_frames

FRAMES = (1, 3, 10, 30)  # window lengths; the tracklets of the benchmark set have 30 frames
CORRELATIONS = np.linspace(0, 1, 51)  # candidates of `fit_correlation`, in steps of 0.02


@dataclass(frozen=True)
class Tracklet:
    """The frames of one player, in order.

    Attributes:
        probabilities_FK: calibrated probabilities of each frame.
        label: class index of the player's number.
    """

    probabilities_FK: NDArray[np.float64]
    label: int


@dataclass(frozen=True)
class TrackletScore:
    """The accuracy on windows of consecutive frames.

    Attributes:
        frames: number of frames per window.
        roster: size of the roster; 0 for none.
        windows: number of windows, which do not overlap.
        correct: number of windows with a correct prediction.
        confidence: mean confidence, which should equal the accuracy.
        coverage: fraction of windows with a prediction at or above the min confidence.
        precision: accuracy on those; None if there are none.
    """

    frames: int
    roster: int
    windows: int
    correct: int
    confidence: float
    coverage: float
    precision: float | None


def tracklets_of(
    probabilities_NK: NDArray[np.float64], labels_N: NDArray[np.int64], names_N: Sequence[str]
) -> list[Tracklet]:
    """Groups the crops of a split into tracklets by name; a crop without a name is in none.

    An illegible crop belongs to its tracklet like any other. A tracklet without a label or with two is excluded.

    Args:
        probabilities_NK: calibrated probabilities of each crop.
        labels_N: class index of each label, -1 for an illegible crop.
        names_N: name of each crop's tracklet; empty if it has none.
    """
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names_N):
        if name:
            rows_of[name].append(row)
    tracklets = []
    for rows in rows_of.values():
        labels = set(labels_N[rows].tolist()) - {ILLEGIBLE_INDEX}
        if len(labels) == 1:
            tracklets.append(Tracklet(probabilities_NK[rows], labels.pop()))
    return tracklets


def windows(tracklet: Tracklet, frames: int, *, correlation: float) -> list[NDArray[np.float64]]:
    """Returns the pooled probabilities [K] of each window of `frames` consecutive crops; windows do not overlap."""
    starts = range(0, len(tracklet.probabilities_FK) - frames + 1, frames)
    return [pool_frames(tracklet.probabilities_FK[start : start + frames], correlation=correlation) for start in starts]


def fit_correlation(tracklets: Sequence[Tracklet]) -> float | None:
    """Returns the frame correlation, 0 to 1, that maximizes the likelihood of the tracklets' labels.

    It is None if no tracklet has two frames.
    """
    several = [tracklet for tracklet in tracklets if len(tracklet.probabilities_FK) > 1]
    if not several:
        return None

    def loss(correlation: float) -> float:
        likelihoods = [
            pool_frames(tracklet.probabilities_FK, correlation=correlation)[tracklet.label] for tracklet in several
        ]
        return float(-np.log(np.maximum(likelihoods, 1e-12)).mean())

    return float(min(CORRELATIONS, key=loss))


def tracklet_scores(
    tracklets: Sequence[Tracklet],
    numbers: Sequence[str],
    *,
    frames: Sequence[int] = FRAMES,
    rosters: Sequence[int] = (0,),
    correlation: float = 0.0,
    threshold: float = 0.0,
    seed: int = 0,
) -> list[TrackletScore]:
    """Scores each window length that fits into a tracklet, with each roster size.

    Args:
        tracklets: tracklets of a split.
        numbers: numbers of the K classes.
        frames: window lengths.
        rosters: roster sizes; 0 is none.
        correlation: correlation of frames, 0 to 1; without a roster it does not change which number is predicted.
        threshold: min confidence of a prediction, for `coverage` and `precision`.
        seed: seed of the sampled rosters.
    """
    found = []
    for count, roster in itertools.product(frames, rosters):
        rng = random.Random(seed)
        pairs: list[tuple[str, Prediction]] = []  # label and prediction of each window
        for tracklet in tracklets:
            label = numbers[tracklet.label]
            others = [number for number in numbers if number != label]
            team = [label, *rng.sample(others, roster - 1)] if roster else None
            if pooled_WK := windows(tracklet, count, correlation=correlation):
                decision = DecisionRule(numbers, labels=numbers, roster=team, top_k=1)
                pairs += [(label, prediction) for prediction in decision.predictions(np.array(pooled_WK))]
        if pairs:
            found.append(_score(count, roster, pairs, threshold))
    return found


def _score(frames: int, roster: int, pairs: Sequence[tuple[str, Prediction]], threshold: float) -> TrackletScore:
    accepted = [
        prediction.number == label
        for label, prediction in pairs
        if prediction.number is not None and prediction.confidence >= threshold
    ]
    return TrackletScore(
        frames=frames,
        roster=roster,
        windows=len(pairs),
        correct=sum(prediction.number == label for label, prediction in pairs),
        confidence=float(np.mean([prediction.confidence for _, prediction in pairs])),
        coverage=len(accepted) / len(pairs),
        precision=sum(accepted) / len(accepted) if accepted else None,
    )


def read_tracklets(predictor: Predictor, folder: Path) -> list[Tracklet]:
    """Predicts all frames of the tracklets in a folder, and shows a progress bar.

    Args:
        predictor: predictor of the frames.
        folder: folder of `<number>/<tracklet>/*.jpg`.

    Raises:
        UserError: the folder has no tracklets, one has a number that is not a label of the model, or an image cannot be
            read.
    """
    paths = images_below(folder)
    numbers = [path.parent.parent.name for path in paths]
    if unknown := sorted(set(numbers) - set(predictor.numbers)):
        raise UserError(
            f"{folder} has tracklets of {unknown[0]!r}, which is not a label of the model; name a folder of "
            "<number>/<tracklet>/*.jpg with the model's own numbers"
        )
    if not paths:
        raise UserError(f"{folder} contains no images; name a folder of <number>/<tracklet>/*.jpg")
    found = []
    for each in tqdm(predictor.probabilities(paths), total=len(paths), unit="image", disable=None):
        if isinstance(each, UserError):
            raise each
        found.append(each)
    labels_N = np.array([predictor.numbers.index(number) for number in numbers])
    return tracklets_of(np.array(found), labels_N, [str(path.parent) for path in paths])


def tracklet_table(found: Sequence[TrackletScore], min_precision: float) -> str:
    """Formats one row per score; `min_precision` is the target of the coverage, such as 0.99."""
    coverage = f"coverage at {min_precision:g}"
    rows = [["frames", "roster", "windows", "accuracy", "95 % interval", "confidence", coverage, "precision"]]
    for each in found:
        low, high = wilson_interval(each.correct, each.windows)
        counts = [str(each.frames), str(each.roster or "-"), str(each.windows)]
        accuracy = [percent(each.correct / each.windows), f"{percent(low)} to {percent(high)}"]
        precision = "-" if each.precision is None else percent(each.precision)
        rows.append([*counts, *accuracy, percent(each.confidence), percent(each.coverage), precision])
    return "\n".join(format_table(rows))


def main() -> None:
    """Prints a table and one line of JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m jersey.evaluation.tracklets",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="model.onnx of a run, such as runs/quickstart/RUN/model.onnx")
    parser.add_argument("folder", type=Path, help="folder of tracklets, such as data/benchmark/tracklets/test")
    parser.add_argument("--roster", type=int, default=12, help="size of the rosters, such as 20 (default: 12)")
    parser.add_argument(
        "--min_precision", type=float, default=0.99, help="target precision, such as 0.95 or 0.98 (default: 0.99)"
    )
    options = parser.parse_args()
    with exit_on_user_error():
        set_up_console()
        predictor = Predictor(options.model)
        numbers, correlation = predictor.numbers, predictor.frame_correlation
        if not 2 <= options.roster <= len(numbers):
            raise UserError(f"--roster={options.roster} is out of range; choose 2 to {len(numbers)} numbers")
        threshold = confidence_for(options.min_precision, predictor.model.thresholds)
        tracklets = read_tracklets(predictor, options.folder)
    rosters = (0, options.roster)
    found = tracklet_scores(tracklets, numbers, rosters=rosters, correlation=correlation, threshold=threshold)
    print(f"{plural(len(tracklets), 'tracklet')}, frame correlation {correlation:g}", end="\n\n")
    print(tracklet_table(found, options.min_precision), end="\n\n")
    print(json.dumps({"bench": "tracklets", "scores": [asdict(each) for each in found]}))


if __name__ == "__main__":
    main()
