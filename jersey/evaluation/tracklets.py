"""How much better several crops of one player are read than one, and what a roster adds: accuracy by frames.

    python -m jersey.evaluation.tracklets MODEL.onnx data/benchmark/tracklets/test [--roster=12]

The folder holds `<number>/<tracklet>/*.jpg`. Every 1, 3, 10 and 30 frames in a row are read as one, without a roster and
with one: for each tracklet a team of so many numbers is drawn, its own among them. An answer that is not the tracklet's
number is wrong, and so is none; the fraction that is answered with a precision stands beside it.

Shapes: N crops of a split, F frames, K classes.
"""

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
from jersey.core.errors import UserError, exit_on_user_error
from jersey.core.labels import ILLEGIBLE_INDEX
from jersey.core.tables import format_table
from jersey.evaluation.calibration import wilson_interval
from jersey.inference import Predictor
from jersey.inference.decision import DecisionRule, Prediction, confidence_for
from jersey.inference.sources import images_below
from jersey.inference.tracklet import pool_frames

FRAMES = (1, 3, 10, 30)
CORRELATIONS = np.linspace(0, 1, 51)


@dataclass(frozen=True)
class Tracklet:
    """The crops of one player, in order: the calibrated probabilities of each, and the class index of the number."""

    probabilities_FK: NDArray[np.float64]
    label: int


@dataclass(frozen=True)
class TrackletScore:
    """How well so many frames at a time are read.

    Attributes:
        roster: how many numbers it has; 0 for none.
        windows: how often there were so many frames in a row.
        right: in how many of them the number was read.
        confidence: mean, which should be the share that is right.
        answered: share with the confidence for the precision.
        precision: share of those that are right; None without one.
    """

    frames: int
    roster: int
    windows: int
    right: int
    confidence: float
    answered: float
    precision: float | None


def tracklets_of(
    probabilities_NK: NDArray[np.float64], labels_N: NDArray[np.int64], names_N: Sequence[str]
) -> list[Tracklet]:
    """The tracklets among the crops of a split; a crop without a name is in none.

    A crop that is illegible by itself belongs to its tracklet as every other. A tracklet without a number is left out, and
    so is one with two.
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
    """What each `frames` crops in a row say together, [K]; no crop is in two windows."""
    starts = range(0, len(tracklet.probabilities_FK) - frames + 1, frames)
    return [pool_frames(tracklet.probabilities_FK[start : start + frames], correlation=correlation) for start in starts]


def fit_correlation(tracklets: Sequence[Tracklet]) -> float | None:
    """The correlation of frames under which whole tracklets make their numbers the likeliest; None without tracklets."""
    several = [tracklet for tracklet in tracklets if len(tracklet.probabilities_FK) > 1]
    if not several:
        return None

    def loss(correlation: float) -> float:
        shares = [
            pool_frames(tracklet.probabilities_FK, correlation=correlation)[tracklet.label] for tracklet in several
        ]
        return float(-np.log(np.maximum(shares, 1e-12)).mean())

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
    """A score for each number of frames that some tracklet has, with each size of roster.

    Args:
        tracklets: to be read.
        numbers: of the classes.
        frames: at a time.
        rosters: their sizes; 0 is none.
        correlation: of frames; without a roster of no consequence for the likeliest number.
        threshold: the least confidence of an answer.
        seed: of the draw of rosters.
    """
    found = []
    for count, roster in itertools.product(frames, rosters):
        chance, pairs = random.Random(seed), []
        for tracklet in tracklets:
            true = numbers[tracklet.label]
            others = [number for number in numbers if number != true]
            team = [true, *chance.sample(others, roster - 1)] if roster else None
            if pooled_WK := windows(tracklet, count, correlation=correlation):
                decision = DecisionRule(numbers, labels=numbers, roster=team, top_k=1)
                pairs += [(true, reading) for reading in decision.predictions(np.array(pooled_WK))]
        if pairs:
            found.append(_score(count, roster, pairs, threshold))
    return found


def _score(frames: int, roster: int, pairs: Sequence[tuple[str, Prediction]], threshold: float) -> TrackletScore:
    right = [reading.number == true for true, reading in pairs]
    is_answer = [reading.number is not None and reading.confidence >= threshold for _, reading in pairs]
    answered = list(itertools.compress(right, is_answer))
    return TrackletScore(
        frames=frames,
        roster=roster,
        windows=len(pairs),
        right=sum(right),
        confidence=float(np.mean([reading.confidence for _, reading in pairs])),
        answered=len(answered) / len(pairs),
        precision=sum(answered) / len(answered) if answered else None,
    )


def read_tracklets(predictor: Predictor, folder: Path) -> list[Tracklet]:
    """The tracklets below a folder, with what is read on each frame.

    Raises:
        UserError: there are none, one has a number that the model does not read, or an image is none.
    """
    paths = images_below(folder)
    numbers = [path.parent.parent.name for path in paths]
    if unknown := sorted(set(numbers) - set(predictor.numbers)):
        raise UserError(
            f"{folder} has tracklets of {unknown[0]!r}, which the model does not read; name a folder of "
            "<number>/<tracklet>/*.jpg with the model's own numbers"
        )
    if not paths:
        raise UserError(f"{folder} holds no images; name a folder of <number>/<tracklet>/*.jpg")
    found = []
    for each in tqdm(predictor.probabilities(paths), total=len(paths), unit="image", disable=None):
        if isinstance(each, UserError):
            raise each
        found.append(each)
    labels_N = np.array([predictor.numbers.index(number) for number in numbers])
    return tracklets_of(np.array(found), labels_N, [str(path.parent) for path in paths])


def tracklet_table(found: Sequence[TrackletScore], min_precision: float) -> str:
    """A row a score."""
    answered = f"answered at {min_precision:g}"
    rows = [["frames", "roster", "times", "right", "95 % interval", "confidence", answered, "right"]]
    for each in found:
        low, high = wilson_interval(each.right, each.windows)
        counts = [str(each.frames), str(each.roster or "-"), str(each.windows)]
        accuracy = [f"{each.right / each.windows:.1%}", f"{low:.1%} to {high:.1%}"]
        precision = "-" if each.precision is None else f"{each.precision:.2%}"
        rows.append([*counts, *accuracy, f"{each.confidence:.1%}", f"{each.answered:.1%}", precision])
    return "\n".join(format_table(rows))


def main() -> None:
    """Prints a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model.onnx")
    parser.add_argument("folder", type=Path, help="of <number>/<tracklet>/*.jpg")
    parser.add_argument("--roster", type=int, default=12, metavar="N", help="numbers of a team (12)")
    parser.add_argument("--min_precision", type=float, default=0.99, help="0.95, 0.98 or 0.99 (0.99)")
    options = parser.parse_args()
    with exit_on_user_error():
        set_up_console()
        predictor = Predictor(options.model)
        numbers, correlation = predictor.numbers, predictor.frame_correlation
        if not 2 <= options.roster <= len(numbers):
            raise UserError(f"--roster={options.roster} is no team; take 2 to {len(numbers)} numbers")
        threshold = confidence_for(options.min_precision, predictor.model.thresholds)
        tracklets = read_tracklets(predictor, options.folder)
    rosters = (0, options.roster)
    found = tracklet_scores(tracklets, numbers, rosters=rosters, correlation=correlation, threshold=threshold)
    print(f"{len(tracklets)} tracklets, frames correlate by {correlation:g}", end="\n\n")
    print(tracklet_table(found, options.min_precision), end="\n\n")
    print(json.dumps({"bench": "tracklets", "scores": [asdict(each) for each in found]}))


if __name__ == "__main__":
    main()
