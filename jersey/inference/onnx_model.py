"""Loads an exported file: its session, labels and metadata, without torch and onnx.

Shapes: N crops, h w any size, K classes.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from jersey.core.errors import UserError, shorten
from jersey.core.labels import Labels
from jersey.core.model_file import CHECKSUM_KEY, read_verified

if TYPE_CHECKING:
    import onnxruntime  # at run time only functions import it, so that a command can say that it is not installed

Value = TypeVar("Value")

FORMAT_VERSION = "1"
"""The version of inputs, outputs and metadata, which docs/onnx.md describes. A file of another version is refused."""

CPU = "CPUExecutionProvider"
PROVIDERS = {"cpu": CPU, "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
DEFAULT_PROVIDERS = ("CUDAExecutionProvider", CPU)
"""TensorRT must be requested, because it takes minutes to build an engine for each size of crops."""


@dataclass(frozen=True)
class Threshold:
    """The min confidence for a precision, chosen on validation crops.

    Attributes:
        precision: target precision, such as 0.99.
        confidence: min confidence; None if none reaches the precision.
        val_coverage: fraction of legible validation crops on which the predictor does not abstain.
        test_precision: precision on test crops; None if the predictor abstains on all, or without a test split.
        test_coverage: fraction of legible test crops on which the predictor does not abstain; None without a test
            split.
    """

    precision: float
    confidence: float | None
    val_coverage: float
    test_precision: float | None
    test_coverage: float | None


class OnnxModel:
    """A `model.onnx` that jersey has exported.

    Args:
        path: path of the file.
        threads: number of threads per operator; None lets onnxruntime choose.
        providers: onnxruntime's execution providers, the preferred first.

    Attributes:
        session: session of onnxruntime.
        metadata: metadata without the checksum.
        sha256: checksum of the file, which is its last metadata entry.
        labels: label map of the K classes.
        outputs: names of the outputs.

    Raises:
        UserError: the file cannot be read, was changed, has another format version, or lacks its labels.
    """

    def __init__(self, path: Path, *, threads: int | None = None, providers: Sequence[str] = (CPU,)) -> None:
        self.path = path
        self.session = _session(path, threads, providers)
        try:
            stored: dict[str, str] = self.session.get_modelmeta().custom_metadata_map
            shapes = {output.name: output.shape for output in self.session.get_outputs()}
            inputs = [each.name for each in self.session.get_inputs()]
        except UnicodeDecodeError:
            raise UserError(f"{path} has text that is not UTF-8; use the model.onnx of a run") from None
        if CHECKSUM_KEY.decode() not in stored:  # the last bytes are part of another field
            raise UserError(f"{path} is not a model that jersey has exported: it lacks its checksum; use one of a run")
        self.metadata = {key: value for key, value in stored.items() if key != CHECKSUM_KEY.decode()}
        self.sha256 = stored[CHECKSUM_KEY.decode()]
        version = self.metadata.get("format_version")
        if version != FORMAT_VERSION:
            found = shorten(ascii(version or "none").strip("'"))
            what = f"{path} has format version {found}, and this version of jersey reads {FORMAT_VERSION}"
            raise UserError(f"{what}; export it again, or use the version of jersey that exported it")
        self.labels = Labels.from_json(self.metadata.get("labels_mapping", ""), where=f"the label map in {path}")
        self.outputs = tuple(shapes)
        if inputs != ["input"] or any(len(shapes.get(name, ())) != 2 for name in ("logits", "probabilities")):
            what = f"inputs {shorten(', '.join(inputs))} and outputs {shorten(', '.join(shapes))}"
            raise UserError(f"{path} is not a model that jersey has exported: it has the {what}; use one of a run")
        self._sizes = {name: shape[-1] if shape else 1 for name, shape in shapes.items()}
        self._check_labels(classes=self._sizes["logits"])

    def logits(self, images_NChw: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
        """Computes logits float32 [N,K] of uint8 RGB crops [N,3,h,w], `batch_size` at a time."""
        return self.output("logits", images_NChw, batch_size=batch_size)

    def output(self, name: str, images_NChw: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
        """Computes one of `outputs`, float32 with one row per crop, `batch_size` at a time."""
        starts = range(0, len(images_NChw), batch_size)
        parts = [self.session.run([name], {"input": images_NChw[i : i + batch_size]})[0] for i in starts]
        return np.concatenate(parts)

    @cached_property
    def temperature(self) -> float:
        """The temperature by which logits are divided before the softmax."""
        return self._metadata_value("calibration", lambda found: _positive(found["temperature"]))

    @cached_property
    def frame_correlation(self) -> float | None:
        """The correlation of the crops of a tracklet; None if there were no validation tracklets."""
        return self._metadata_value("calibration", lambda found: _finite(found.get("frame_correlation")))

    @cached_property
    def thresholds(self) -> tuple[Threshold, ...]:
        """The min confidences, by rising precision."""
        return self._metadata_value("thresholds", lambda found: tuple(map(_threshold, found)))

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The numbers of the output `open_vocabulary_probabilities`; empty without a compositional head."""
        if "open_vocabulary_probabilities" not in self.outputs:
            return ()
        return self._metadata_value("vocabulary", self._vocabulary)

    @property
    def is_static(self) -> bool:
        """Whether the file takes crops of the network's own size only."""
        return not isinstance(self.session.get_inputs()[0].shape[2], str)

    def _metadata_value(self, name: str, convert: Callable[[Any], Value]) -> Value:
        try:
            return convert(json.loads(self.metadata[name]))
        except (KeyError, ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise UserError(
                f"{self.path} lacks the metadata {name!r} ({shorten(repr(error))}); export it again"
            ) from None

    def _vocabulary(self, found: Iterable[str]) -> tuple[str, ...]:
        numbers = Labels(tuple(found)).names
        if len(numbers) != self._sizes["open_vocabulary_probabilities"]:
            raise ValueError(f"{len(numbers)} numbers are not those of the output")
        return numbers

    def _check_labels(self, *, classes: object) -> None:
        if self.metadata.get("labels_sha256") != self.labels.sha256 or classes != len(self.labels):
            raise UserError(
                f"the labels in {self.path} are not those of its network ({len(self.labels)} labels, {classes} "
                "classes, or another hash); export it again"
            )


def _session(path: Path, threads: int | None, providers: Sequence[str]) -> "onnxruntime.InferenceSession":
    """Opens a verified file; raises UserError if onnxruntime cannot."""
    import onnxruntime

    content = read_verified(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0  # 0 lets onnxruntime choose
    options.log_severity_level = 3  # errors only; the warnings concern onnxruntime's own graph rewriting
    settings = {"providers": list(providers), "enable_fallback": 0}  # a fallback would print to stdout
    try:
        return onnxruntime.InferenceSession(content, options, **settings)
    except Exception as error:  # onnxruntime's exceptions have no other common base
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"onnxruntime cannot load the model {path} ({reason}); update onnxruntime") from error


def _finite(value: Any) -> float | None:
    if value is not None and not math.isfinite(value):
        raise ValueError(f"{value} is not finite")
    return None if value is None else float(value)


def _positive(value: Any) -> float:
    if not 0 < float(value) < math.inf:
        raise ValueError(f"{value} is not positive")
    return float(value)


def _threshold(entry: Mapping[str, Any]) -> Threshold:
    return Threshold(**{name: _finite(value) for name, value in entry.items()})  # type: ignore[arg-type]


def resolve_providers(requested: Sequence[str] | None) -> list[str]:
    """Returns onnxruntime's names of execution providers, the preferred first.

    The last is the CPU, which runs the operators that the others lack.

    Args:
        requested: "cpu", "cuda", "tensorrt" or onnxruntime's names; None for the GPU if there is one.

    Raises:
        UserError: a requested provider is not available.
    """
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if requested is None:
        return [provider for provider in DEFAULT_PROVIDERS if provider in available]
    names = [requested] if isinstance(requested, str) else requested
    providers = [PROVIDERS.get(name.lower(), name) for name in names]
    _check_providers(providers, available, "this onnxruntime has")
    return [*dict.fromkeys([*providers, CPU])]


def check_started(session: "onnxruntime.InferenceSession", requested: Sequence[str] | None) -> None:
    """Raises UserError if a session lacks a requested provider, for example because CUDA's libraries are missing."""
    if requested is not None:
        _check_providers(resolve_providers(requested), session.get_providers(), "it could not be started here, unlike")


def _check_providers(providers: Sequence[str], available: Sequence[str], reason: str) -> None:
    """Raises UserError if a provider is not available; `reason` precedes the list of those that are."""
    short = {full: name for name, full in PROVIDERS.items()}
    for name in providers:
        if name not in available:
            raise UserError(
                f"the provider {short.get(name, name)} is not available: {reason} "
                f"{', '.join(short.get(each, each) for each in available)}; use one of these, or install what it needs "
                "(onnxruntime-gpu and the libraries of the GPU)"
            )
