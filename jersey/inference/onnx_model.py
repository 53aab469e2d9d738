"""The exported file as an object: its session, labels and facts. Free of torch and onnx.

The file ends with a seal: the SHA-256 of all bytes before it, as one more entry of the metadata. Protocol buffers allow
that, since two messages in a row are read as one, and a reader without their library can compare.
https://protobuf.dev/programming-guides/encoding/#last-one-wins

Shapes: N crops, h w any size, K classes.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from jersey.core.errors import UserError
from jersey.core.labels import Labels

FORMAT_VERSION = "1"
"""Of inputs, outputs and facts, as the README tells them. A file of another one is refused."""

CHECKSUM_KEY = b"sha256"
_DIGEST_BYTES = 64  # in hex
# A StringStringEntryProto of key and value, as field 14 of ModelProto, metadata_props.
_ENTRY = bytes([0x0A, len(CHECKSUM_KEY), *CHECKSUM_KEY, 0x12, _DIGEST_BYTES])
_CHECKSUM = bytes([0x72, len(_ENTRY) + _DIGEST_BYTES]) + _ENTRY

CPU = "CPUExecutionProvider"
PROVIDERS = {"cpu": CPU, "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
BY_DEFAULT = ("CUDAExecutionProvider", CPU)
"""Without TensorRT, which builds an engine for each size of crops, and that takes minutes: it has to be asked for."""


@dataclass(frozen=True)
class Threshold:
    """From which confidence on answers are right with some precision, as wanted on validation crops.

    The confidence is None where none gives that precision, the test precision where there is no answer. Coverage is
    the share of crops that are answered.
    """

    precision: float
    confidence: float | None
    val_coverage: float
    test_precision: float | None
    test_coverage: float


class OnnxModel:
    """A `model.onnx` that jersey has exported; UserError where it cannot be read, was changed, or lacks its labels.

    Args:
        path: the file.
        threads: how many work on one crop; None lets onnxruntime choose.
        providers: onnxruntime's execution providers, the preferred first.
    """

    def __init__(self, path: Path, *, threads: int | None = None, providers: Sequence[str] = (CPU,)) -> None:
        self.path = path
        content = read_verified(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0  # 0 is its word for choosing
        options.log_severity_level = 3  # errors; its warnings concern its own graph rewriting
        try:
            self.session = onnxruntime.InferenceSession(content, options, providers=list(providers))
        except Exception as error:  # onnxruntime's exceptions have no common base but Exception
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"onnxruntime cannot load the model {path} ({reason}); update onnxruntime") from error
        self.metadata: dict[str, str] = self.session.get_modelmeta().custom_metadata_map
        contract = self.metadata.get("format_version")
        if contract != FORMAT_VERSION:
            found = f"{path} follows contract {contract or 'none'}, and this jersey knows {FORMAT_VERSION}"
            raise UserError(f"{found}; export it again, or take the jersey that exported it")
        self.labels = Labels.from_json(self.metadata.get("labels_mapping", ""), where=f"the label map in {path}")
        shapes = {output.name: output.shape for output in self.session.get_outputs()}
        self.outputs = tuple(shapes)
        self._check_labels(classes=shapes["logits"][1])

    def logits(self, images_NChw: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
        """Logits float32 [N,K] of uint8 RGB crops [N,3,h,w], `batch_size` at a time."""
        return self.output("logits", images_NChw, batch_size=batch_size)

    def output(self, name: str, images_NChw: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
        """One of the outputs, a row a crop."""
        starts = range(0, len(images_NChw), batch_size)
        parts = [self.session.run([name], {"input": images_NChw[i : i + batch_size]})[0] for i in starts]
        return np.concatenate(parts)

    @cached_property
    def temperature(self) -> float:
        """What logits are divided by before they become probabilities."""
        return float(self._metadata_value("calibration")["temperature"])

    @cached_property
    def frame_correlation(self) -> float | None:
        """Of the crops of one player; None where no validation crops told."""
        return self._metadata_value("calibration").get("frame_correlation")

    @cached_property
    def thresholds(self) -> tuple[Threshold, ...]:
        """By rising precision."""
        return tuple(Threshold(**each) for each in self._metadata_value("thresholds"))

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The numbers of the output `open_vocabulary_probabilities`; none where the network knows whole numbers only."""
        return tuple(self._metadata_value("vocabulary")) if "open_vocabulary_probabilities" in self.outputs else ()

    @property
    def is_static(self) -> bool:
        """Whether it takes crops of the network's own size only."""
        return not isinstance(self.session.get_inputs()[0].shape[2], str)

    @property
    def facts(self) -> dict[str, str]:
        """The metadata without the seal, which belongs to this very file."""
        return {key: value for key, value in self.metadata.items() if key != CHECKSUM_KEY.decode()}

    def _metadata_value(self, name: str) -> Any:
        try:
            return json.loads(self.metadata[name])
        except (KeyError, ValueError) as error:
            raise UserError(f"{self.path} lacks the fact {name!r} ({error!r}); export it again") from None

    def _check_labels(self, *, classes: int) -> None:
        if self.metadata.get("labels_sha256") != self.labels.sha256 or classes != len(self.labels):
            raise UserError(
                f"the labels in {self.path} are not those of its network ({len(self.labels)} labels, {classes} "
                "classes, or another hash); export it again"
            )


def with_checksum(content: bytes) -> bytes:
    """A serialized ModelProto with its seal."""
    return content + _CHECKSUM + hashlib.sha256(content).hexdigest().encode()


def read_verified(path: Path) -> bytes:
    """The file's content; UserError where it cannot be read, is not whole, or is not as jersey wrote it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the model {path} ({error.strerror}); name one that a run has exported") from None
    body, seal = content[: -len(_CHECKSUM) - _DIGEST_BYTES], content[-len(_CHECKSUM) - _DIGEST_BYTES :]
    if not body or not seal.startswith(_CHECKSUM):
        found = f"{path} is no model that jersey has exported, or not all of it: it does not end with jersey's seal"
        raise UserError(f"{found}; copy it again from the run, or export it again")
    if hashlib.sha256(body).hexdigest().encode() != seal[len(_CHECKSUM) :]:
        raise UserError(f"{path} was changed after its export: its SHA-256 is not the one in its seal; copy it again")
    return content


def chosen_providers(wanted: Sequence[str] | None) -> list[str]:
    """onnxruntime's names, the preferred first; the CPU, last, takes what the others cannot.

    Wanted are "cpu", "cuda", "tensorrt" or onnxruntime's names, None for the GPU where there is one; what is not there
    is a UserError.
    """
    there = onnxruntime.get_available_providers()
    if wanted is None:
        return [provider for provider in BY_DEFAULT if provider in there]
    providers = [PROVIDERS.get(name.lower(), name) for name in ([wanted] if isinstance(wanted, str) else wanted)]
    _require(providers, there, "this onnxruntime has")
    return [*dict.fromkeys([*providers, CPU])]


def require_started(session: onnxruntime.InferenceSession, wanted: Sequence[str] | None) -> None:
    """Refuses a session that had to do without a provider that was asked for, as where CUDA's libraries are missing."""
    if wanted is not None:
        _require(chosen_providers(wanted), session.get_providers(), "it could not be started here, only")


def _require(providers: Sequence[str], there: Sequence[str], why: str) -> None:
    short = {full: name for name, full in PROVIDERS.items()}
    for name in providers:
        if name not in there:
            raise UserError(
                f"the provider {short.get(name, name)} is not there: {why} "
                f"{', '.join(short.get(each, each) for each in there)}; take one of these, or install what it needs "
                "(onnxruntime-gpu and the libraries of the GPU)"
            )
