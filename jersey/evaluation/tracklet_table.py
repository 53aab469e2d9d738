"""What several crops of one player are worth, and what a roster is: accuracy by the number of frames.

    python -m jersey.evaluation.tracklet_table MODEL.onnx data/benchmark/tracklets/test [--roster=12]

The folder holds `<number>/<track>/*.jpg`. Every 1, 3, 10 and 30 frames in a row are read as one, without a roster and
with one: for each track a team of so many numbers is drawn, its own among them. An answer that is not the track's
number is wrong, and so is none; how many are answered with a precision is told beside it.

Shapes: W windows of frames in a row, K classes.
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from jersey.core.console import set_up_console
from jersey.core.errors import UserError, exit_on_user_error
from jersey.core.tables import aligned
from jersey.data.files import images_below
from jersey.evaluation.intervals import wilson_interval
from jersey.evaluation.tracklets import FRAMES, Track, tracks_of, windows
from jersey.inference import Predictor
from jersey.inference.decision import Decision, Reading, confidence_for


@dataclass(frozen=True)
class Score:
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
) -> list[Score]:
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


def _score(frames: int, roster: int, pairs: Sequence[tuple[str, Reading]], threshold: float) -> Score:
    right = [reading.number == true for true, reading in pairs]
    answered = [is_right for is_right, (_, reading) in zip(right, pairs, strict=True) if _is_answer(reading, threshold)]
    return Score(
        frames=frames,
        roster=roster,
        windows=len(pairs),
        right=sum(right),
        confidence=float(np.mean([reading.confidence for _, reading in pairs])),
        answered=len(answered) / len(pairs),
        precision=sum(answered) / len(answered) if answered else None,
    )


def _is_answer(reading: Reading, threshold: float) -> bool:
    return reading.number is not None and reading.confidence >= threshold


def table(found: Sequence[Score], min_precision: float) -> str:
    """A row a score."""
    answered = f"answered at {min_precision:g}"
    rows = [["frames", "roster", "times", "right", "95 % interval", "confidence", answered, "right"]]
    for each in found:
        low, high = wilson_interval(each.right, each.windows)
        rows.append(
            [
                str(each.frames),
                str(each.roster or "-"),
                str(each.windows),
                f"{each.right / each.windows:.1%}",
                f"{low:.1%} to {high:.1%}",
                f"{each.confidence:.1%}",
                f"{each.answered:.1%}",
                "-" if each.precision is None else f"{each.precision:.2%}",
            ]
        )
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
    print(table(found, options.min_precision), end="\n\n")
    print(json.dumps({"bench": "tracklets", "scores": [asdict(each) for each in found]}))


if __name__ == "__main__":
    main()
