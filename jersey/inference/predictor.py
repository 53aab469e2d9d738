"""Predicts the numbers on crops with an exported file, numpy, Pillow and onnxruntime, without torch.

    predictor = Predictor()                              # the pretrained reader, or Predictor("model.onnx")
    predictor.predict(crop).number                       # an array uint8 [h,w,3], PIL image, path, bytes, open file
    for prediction in predictor.predict_all(crops): ...  # a batch [N,h,w,3], or any iterable of crops
    for path, prediction in predictor.predict_folder("crops"): ...
    predictor.predict_tracklet(crops)                    # crops of one player

Shapes: N crops, h w any size, K numbers.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from jersey.core.errors import UserError, plural
from jersey.core.model_file import READER
from jersey.data.files import expand_home, listed_images
from jersey.data.unused import unused_warnings
from jersey.inference.batching import SizeBuckets, decoded
from jersey.inference.crops import ColorOrder, Crop, check_color, pixels_of
from jersey.inference.decision import DecisionRule, Prediction, confidence_for
from jersey.inference.onnx_model import OnnxModel, check_started, resolve_providers
from jersey.inference.pacing import Flush, check_delay, paced
from jersey.inference.tracklet import FRAME_CORRELATION, pool_frames

T = TypeVar("T")

log = logging.getLogger(__name__)


class Predictor:
    """Predicts jersey numbers.

    Args:
        path: path of a `model.onnx`; None for the pretrained reader of the package.
        providers: execution providers of onnxruntime, such as ["cuda"]; None for the GPU if there is one.
        batch_size: max number of crops, all of one size, per call of onnxruntime.
        min_precision: 0.95, 0.98 or 0.99; the predictor abstains below the confidence that reached this precision on
            the validation crops. With None or 0 it never abstains for this reason.
        min_confidence: the predictor abstains below this confidence, 0 to 1, as an alternative to `min_precision`.
        roster: numbers that may occur, see `jersey.inference.decision`; None for any.
        top_k: number of likeliest numbers in a prediction.
        open_vocabulary: whether to predict numbers that the network was not trained on; needs a compositional head.
        threads: number of CPU threads of onnxruntime; None lets it choose.
        color: order of the channels of arrays, "rgb", or "bgr" for OpenCV. Files and PIL images know their colors.

    Attributes:
        model: exported file.
        numbers: K numbers that can be predicted.
        frame_correlation: correlation of the frames of a tracklet, 0 to 1.

    Raises:
        UserError: the file or an argument cannot be used.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        providers: Sequence[str] | None = None,
        batch_size: int = 64,
        min_precision: float | None = None,
        min_confidence: float | None = None,
        roster: Sequence[str] | None = None,
        top_k: int = 5,
        open_vocabulary: bool = False,
        threads: int | None = None,
        color: ColorOrder = "rgb",
    ) -> None:
        check_color(color)
        if batch_size < 1:
            raise UserError(f"batch_size={batch_size} is too small; set batch_size, or --batch_size, to 1 or more")
        path = READER if path is None else Path(expand_home(path))
        self.model = OnnxModel(path, threads=threads, providers=resolve_providers(providers))
        if self.model.is_static:
            raise UserError(f"{path} takes crops of one size only; use the model.onnx beside it, which takes any")
        check_started(self.model.session, providers)
        self.batch_size = batch_size
        self._color = color
        if open_vocabulary and not self.model.vocabulary:
            raise UserError(
                f"{path} predicts only the numbers it was trained on, as it has no compositional head; "
                "leave `open_vocabulary` out, or train with --fdl_set=head=compositional_head"
            )
        self.numbers = self.model.vocabulary if open_vocabulary else self.model.labels.names
        self._output = "open_vocabulary_probabilities" if open_vocabulary else "probabilities"
        self._decision = DecisionRule(
            self.numbers,
            labels=self.model.labels.names,
            roster=roster,
            threshold=_threshold(self.model, min_precision, min_confidence),
            top_k=top_k,
        )
        found = self.model.frame_correlation
        self.frame_correlation = FRAME_CORRELATION if found is None else found

    def predict(self, crop: Crop) -> Prediction:
        """Predicts the number on one crop, see `jersey.inference.crops`; raises UserError if it is none."""
        pixels_hw3 = pixels_of(crop, self._color)
        if isinstance(pixels_hw3, UserError):
            raise pixels_hw3
        images_1Chw = np.ascontiguousarray(pixels_hw3.transpose(2, 0, 1)[None])
        return self._decision.predictions(self._run(images_1Chw))[0]

    def predict_all(
        self, crops: Iterable[Crop | UserError | Flush], *, max_delay_s: float | None = None
    ) -> Iterator[Prediction | UserError]:
        """Yields a prediction or an error for each crop, in order.

        Args:
            crops: crops as in `predict`, or one array [N,h,w,3]. A crop waits for others of its size, at most for
                eight batches.
            max_delay_s: max seconds for which a crop waits, in addition to the batch that is running. A thread then
                takes the crops, up to one batch ahead. None waits for as long as the next crops take.

        Raises:
            UserError: `crops` is a single crop, or the delay is out of range.
        """
        _check_several(crops)
        if max_delay_s is not None:
            check_delay(max_delay_s)
            crops = paced(crops, max_delay_s=max_delay_s, ahead=self.batch_size)
        return self._in_batches(crops, lambda images_NChw: self._decision.predictions(self._run(images_NChw)))

    def predict_folder(self, folder: str | Path) -> Iterator[tuple[Path, Prediction | UserError]]:
        """Predicts the images in a folder and below it, sorted by path; raises UserError if there is no such folder.

        Files that may be images, but cannot be read, are logged as a warning.
        """
        folder = expand_home(folder)
        paths, unused = listed_images(folder)
        for warning in unused_warnings(unused, folder):
            log.warning("%s", warning)
        return zip(paths, self.predict_all(paths), strict=True)

    def predict_tracklet(self, crops: Iterable[Crop | UserError]) -> Prediction:
        """Returns one prediction for the crops of one player, see `jersey.inference.tracklet`; errors are skipped.

        Raises:
            UserError: none of the crops could be read.
        """
        found = list(self.probabilities(crops))
        frames = [each for each in found if not isinstance(each, UserError)]
        if not frames:
            reason = f", the first for this reason: {found[0]}" if found else ""
            raise UserError(f"none of {plural(len(found), 'crop')} of the tracklet could be read{reason}")
        return self.predict_pooled(np.stack(frames))

    def probabilities(self, crops: Iterable[Crop | UserError]) -> Iterator[np.ndarray | UserError]:
        """Yields calibrated probabilities of `numbers`, float32 [K], without the roster, or an error for each crop."""
        _check_several(crops)
        return self._in_batches(crops, self._run)

    def predict_pooled(self, probabilities_NK: np.ndarray) -> Prediction:
        """Returns one prediction for the `probabilities`, float [N,K], of several crops of one player."""
        pooled_K = pool_frames(probabilities_NK, correlation=self.frame_correlation)
        return self._decision.predictions(pooled_K[None])[0]

    def _in_batches(
        self, crops: Iterable[Crop | UserError | Flush], run: Callable[[np.ndarray], Sequence[T]]
    ) -> Iterator[T | UserError]:
        pixels = decoded(crops, ahead=self.batch_size, color=self._color)
        return SizeBuckets(run, batch_size=self.batch_size).results(pixels)

    def _run(self, images_NChw: np.ndarray) -> Any:
        return self.model.output(self._output, images_NChw, batch_size=len(images_NChw))


def _threshold(model: OnnxModel, min_precision: float | None, min_confidence: float | None) -> float:
    if min_confidence is None:
        return confidence_for(min_precision, model.thresholds if min_precision else ())
    if min_precision is not None:
        raise UserError("min_precision and min_confidence both set the confidence to abstain below; leave one out")
    if not 0 <= min_confidence <= 1:
        raise UserError(f"min_confidence={min_confidence} is not a probability; set it from 0 to 1")
    return min_confidence


def _check_several(crops: object) -> None:
    """Raises UserError if `crops` is a single crop; iterating over an open file or bytes would be nonsense."""
    if isinstance(crops, str | Path):
        raise UserError(f"{crops} is one path; use predict for a file and predict_folder for a folder")
    if isinstance(crops, bytes | bytearray | memoryview | Image.Image) or hasattr(crops, "read"):
        raise UserError(f"a {type(crops).__name__} is one crop; use predict for it, or put several into a list")
    if isinstance(crops, np.ndarray) and crops.ndim != 4:
        what = f"a batch is an array [N, height, width, 3], and not {list(crops.shape)}"
        raise UserError(f"{what}; use predict for one crop")
