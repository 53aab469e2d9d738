"""Files that create a marker file when they are unpickled, so that a test can detect it."""

import io
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

# Tests of another checkout may run at the same time.
MARKER = Path(tempfile.gettempdir(), f"jersey-payload-ran{str(Path(__file__).parent).replace('/', '-')}")


class Payload:
    """Creates the marker when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (MARKER,)


def _saved(content: Any, **options: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def _array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


CHECKPOINTS = {
    "a pickle": pickle.dumps(Payload()),
    "torch's file": _saved({"state_dict": {"a": Payload()}, "epoch": 0}),
    "torch's old file": _saved(Payload(), _use_new_zipfile_serialization=False),
}
ARRAYS = {"an array of objects": _array(), "a pickle": CHECKPOINTS["a pickle"]}
