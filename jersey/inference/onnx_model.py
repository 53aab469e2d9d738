"""The exported file as an object: its session, labels and facts. Torch-free.

Shapes: N crops, h w any size, K classes.
"""

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
from jersey.inference.model_file import KEY, read_sealed

CONTRACT = "1"
"""Of inputs, outputs and facts, as the README tells them. A file of another one is refused."""


@dataclass(frozen=True)
class Threshold:
    """From which confidence on answers are right with some precision.

    Args:
        precision: the share of answers that are right, as wanted.
        confidence: the least one to answer with; None where no confidence gives that precision on validation crops.
        val_coverage: share of the validation crops that are answered then.
        test_precision: what it came to on the test crops; None without an answer there.
        test_coverage: likewise.
    """

    precision: float
    confidence: float | None
    val_coverage: float
    test_precision: float | None
    test_coverage: float


class OnnxModel:
    """A `model.onnx` that jersey has exported.

    Args:
        path: the file.
        threads: how many work on one crop; None lets onnxruntime choose.
        providers: onnxruntime's execution providers, the preferred first.

    Raises:
        UserError: it cannot be read, was changed, or does not say what its classes mean.
    """

    def __init__(
        self, path: Path, *, threads: int | None = None, providers: Sequence[str] = ("CPUExecutionProvider",)
    ) -> None:
        self.path = path
        content = read_sealed(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0  # 0 is its word for choosing
        options.log_severity_level = 3  # errors; its warnings concern its own graph rewriting
        try:
            self.session = onnxruntime.InferenceSession(content, options, providers=list(providers))
        except Exception as error:  # onnxruntime's exceptions have no common base but Exception
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"onnxruntime cannot load the model {path} ({reason}); update onnxruntime") from error
        self.metadata: dict[str, str] = self.session.get_modelmeta().custom_metadata_map
        self.outputs = tuple(output.name for output in self.session.get_outputs())
        self._check_contract()
        self.labels = Labels.from_json(self.metadata.get("labels_mapping", ""), where=f"the label map in {path}")
        self._check_labels()

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
        return float(self._fact("calibration")["temperature"])

    @cached_property
    def frame_correlation(self) -> float | None:
        """Of the crops of one player; None where no validation crops told."""
        return self._fact("calibration").get("frame_correlation")

    @cached_property
    def thresholds(self) -> tuple[Threshold, ...]:
        """By rising precision."""
        return tuple(Threshold(**each) for each in self._fact("thresholds"))

    @cached_property
    def open_numbers(self) -> tuple[str, ...]:
        """The numbers of the output `open_probabilities`; none where the network knows whole numbers only."""
        return tuple(self._fact("open_numbers")) if "open_probabilities" in self.outputs else ()

    @property
    def is_fixed(self) -> bool:
        """Whether it takes crops of the network's own size only."""
        return not isinstance(self.session.get_inputs()[0].shape[2], str)

    @property
    def facts(self) -> dict[str, str]:
        """The metadata without the seal, which belongs to this very file."""
        return {key: value for key, value in self.metadata.items() if key != KEY.decode()}

    def _fact(self, name: str) -> Any:
        try:
            return json.loads(self.metadata[name])
        except (KeyError, ValueError) as error:
            raise UserError(f"{self.path} lacks the fact {name!r} ({error!r}); export it again") from None

    def _check_contract(self) -> None:
        contract = self.metadata.get("contract")
        if contract != CONTRACT:
            raise UserError(
                f"{self.path} follows contract {contract or 'none'}, and this jersey knows {CONTRACT}; "
                "export it again, or take the jersey that exported it"
            )

    def _check_labels(self) -> None:
        classes = next(output.shape[1] for output in self.session.get_outputs() if output.name == "logits")
        if self.metadata.get("labels_sha256") != self.labels.sha256 or classes != len(self.labels):
            raise UserError(
                f"the labels in {self.path} are not those of its network ({len(self.labels)} labels, {classes} "
                "classes, or another hash); export it again"
            )
