"""How much better several crops of one player are read than one, and what a roster adds: accuracy by frames.

    python -m jersey.evaluation.tracklets MODEL.onnx data/benchmark/tracklets/test [--roster=12]

The folder holds `<number>/<track>/*.jpg`. Every 1, 3, 10 and 30 frames in a row are read as one, without a roster and
with one: for each track a team of so many numbers is drawn, its own among them. An answer that is not the track's
number is wrong, and so is none; the fraction that is answered with a precision stands beside it.

Shapes: N crops of a split, F frames, W windows of frames in a row, K classes.
"""

import argparse
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
from jersey.core.tables import aligned
from jersey.evaluation.calibration import wilson_interval
from jersey.inference import Predictor
from jersey.inference.decision import Decision, Reading, confidence_for
from jersey.inference.sources import images_below
from jersey.inference.tracklet import pooled

FRAMES = (1, 3, 10, 30)
CORRELATIONS = np.linspace(0, 1, 51)


@dataclass(frozen=True)
class Track:
    """The crops of one player, in order.

    Args:
        probabilities_FK: calibrated, of each crop.
        label: class index of the number.
    """

    probabilities_FK: NDArray[np.float64]
    label: int


@dataclass(frozen=True)
class ByFrames:
    """What so many frames at a time are worth.

    Args:
        frames: F.
        windows: how often there were so many in a row.
        right: in how many of them the number was read.
    """

    frames: int
    windows: int
    right: int


def tracks_of(
    probabilities_NK: NDArray[np.float64], labels_N: NDArray[np.int64], names_N: Sequence[str]
) -> list[Track]:
    """The tracks among the crops of a split; a crop without a name is in none.

    A crop that is unreadable by itself belongs to its track as every other. A track without a number is left out, and
    so is one with two.
    """
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names_N):
        if name:
            rows_of[name].append(row)
    tracks = []
    for rows in rows_of.values():
        labels = set(labels_N[rows].tolist()) - {ILLEGIBLE_INDEX}
        if len(labels) == 1:
            tracks.append(Track(probabilities_NK[rows], labels.pop()))
    return tracks


def windows(
    tracks: Sequence[Track], frames: int, *, correlation: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What each `frames` crops in a row say together, [W,K], and the label of each, [W]; no crop is in two windows."""
    pooled_K, labels = [], []
    for track in tracks:
        for start in range(0, len(track.probabilities_FK) - frames + 1, frames):
            pooled_K.append(pooled(track.probabilities_FK[start : start + frames], correlation=correlation))
            labels.append(track.label)
    classes = tracks[0].probabilities_FK.shape[1] if tracks else 0
    return np.array(pooled_K).reshape(len(labels), classes), np.array(labels, np.int64)


def accuracy_by_frames(tracks: Sequence[Track], *, frames: Sequence[int] = FRAMES) -> list[ByFrames]:
    """A score for each number of frames that some track has."""
    scores = []
    for each in frames:
        pooled_WK, labels_W = windows(tracks, each, correlation=0.0)  # of no consequence for the likeliest number
        if len(labels_W):
            scores.append(ByFrames(each, len(labels_W), int((pooled_WK.argmax(axis=1) == labels_W).sum())))
    return scores


def fit_correlation(tracks: Sequence[Track]) -> float | None:
    """The correlation of frames under which whole tracks make their numbers the likeliest; None without tracks."""
    several = [track for track in tracks if len(track.probabilities_FK) > 1]
    if not several:
        return None

    def loss(correlation: float) -> float:
        shares = [pooled(track.probabilities_FK, correlation=correlation)[track.label] for track in several]
        return float(-np.log(np.maximum(shares, 1e-12)).mean())

    return float(min(CORRELATIONS, key=loss))


@dataclass(frozen=True)
class TrackletScore:
    """Of so many frames at a time.

    Args:
        frames: how many.
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


def read_tracks(predictor: Predictor, folder: Path) -> list[Track]:
    """The tracks below a folder, with what is read on each frame.

    Raises:
        UserError: there are none, one has a number that the model does not read, or an image is none.
    """
    paths = images_below(folder)
    numbers = [path.parent.parent.name for path in paths]
    if unknown := sorted(set(numbers) - set(predictor.numbers)):
        raise UserError(
            f"{folder} has tracks of {unknown[0]!r}, which the model does not read; name a folder of "
            "<number>/<track>/*.jpg with the model's own numbers"
        )
    if not paths:
        raise UserError(f"{folder} holds no images; name a folder of <number>/<track>/*.jpg")
    found = list(tqdm(predictor.probabilities(paths), total=len(paths), unit="image", disable=None))
    for each in found:
        if isinstance(each, UserError):
            raise each
    labels_N = np.array([predictor.numbers.index(number) for number in numbers])
    return tracks_of(np.array(found), labels_N, [str(path.parent) for path in paths])


def scores(
    predictor: Predictor, tracks: Sequence[Track], *, roster: int, threshold: float, seed: int = 0
) -> list[TrackletScore]:
    """For each number of frames, without a roster and with one."""
    found = []
    for frames in FRAMES:
        for size in (0, roster):
            chance = random.Random(seed)
            pairs = [pair for track in tracks for pair in _read(predictor, track, frames, size, chance)]
            if pairs:
                found.append(_score(frames, size, pairs, threshold))
    return found


def _read(
    predictor: Predictor, track: Track, frames: int, roster: int, chance: random.Random
) -> list[tuple[str, Reading]]:
    numbers = predictor.numbers
    true = numbers[track.label]
    team = [true, *chance.sample([number for number in numbers if number != true], roster - 1)] if roster else None
    pooled_WK, _ = windows([track], frames, correlation=predictor.frame_correlation)
    if not len(pooled_WK):
        return []
    decision = Decision(numbers, labels=numbers, roster=team, top_k=1)
    return [(true, reading) for reading in decision.readings(pooled_WK)]


def _score(frames: int, roster: int, pairs: Sequence[tuple[str, Reading]], threshold: float) -> TrackletScore:
    right = [reading.number == true for true, reading in pairs]
    answered = [
        reading.number == true
        for true, reading in pairs
        if reading.number is not None and reading.confidence >= threshold
    ]
    return TrackletScore(
        frames=frames,
        roster=roster,
        windows=len(pairs),
        right=sum(right),
        confidence=float(np.mean([reading.confidence for _, reading in pairs])),
        answered=len(answered) / len(pairs),
        precision=sum(answered) / len(answered) if answered else None,
    )


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
    return "\n".join(aligned(rows))


def main() -> None:
    """Prints a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model.onnx")
    parser.add_argument("folder", type=Path, help="of <number>/<track>/*.jpg")
    parser.add_argument("--roster", type=int, default=12, metavar="N", help="numbers of a team (12)")
    parser.add_argument("--min_precision", type=float, default=0.99, help="0.95, 0.98 or 0.99 (0.99)")
    options = parser.parse_args()
    with exit_on_user_error():
        set_up_console()
        predictor = Predictor(options.model)
        if not 2 <= options.roster <= len(predictor.numbers):
            raise UserError(f"--roster={options.roster} is no team; take 2 to {len(predictor.numbers)} numbers")
        threshold = confidence_for(options.min_precision, predictor.model.thresholds)
        tracks = read_tracks(predictor, options.folder)
        found = scores(predictor, tracks, roster=options.roster, threshold=threshold)
    print(f"{len(tracks)} tracks, frames correlate by {predictor.frame_correlation:g}", end="\n\n")
    print(tracklet_table(found, options.min_precision), end="\n\n")
    print(json.dumps({"bench": "tracklets", "scores": [asdict(each) for each in found]}))


if __name__ == "__main__":
    main()
