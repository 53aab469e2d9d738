"""The exported file as an object: its session, labels and facts. Torch-free.

Shapes: N crops, h w any size, K classes.
"""

import logging
from pathlib import Path

import numpy as np
import onnxruntime

from jersey.errors import UserError
from jersey.labels import Labels

log = logging.getLogger(__name__)


class OnnxModel:
    """A `model.onnx` that jersey has exported.

    Args:
        path: the file.
        threads: how many work on one crop; None lets onnxruntime choose.

    Raises:
        UserError: it cannot be read, or carries no label map.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0  # 0 is its word for choosing
        options.log_severity_level = 3  # errors; its warnings concern its own graph rewriting
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common base but Exception
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"cannot read the model {path} ({reason}); export it again") from error
        self.metadata: dict[str, str] = self.session.get_modelmeta().custom_metadata_map
        if "labels_mapping" not in self.metadata:
            raise UserError(f"{path} carries no label map, so its numbers are unknown; use a file that jersey exported")
        self.labels = Labels.from_json(self.metadata["labels_mapping"], where=f"the label map in {path}")

    def logits(self, images_NChw: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
        """Logits float32 [N,K] of uint8 RGB crops [N,3,h,w], `batch_size` at a time."""
        starts = range(0, len(images_NChw), batch_size)
        parts = [self.session.run(["logits"], {"input": images_NChw[i : i + batch_size]})[0] for i in starts]
        return np.concatenate(parts)
