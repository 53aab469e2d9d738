"""A file that runs code when it is unpickled: it makes a marker file, so a test can see whether it was."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def _saved(content: Any, **options: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def _array(content: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([content], dtype=object), allow_pickle=True)
    return buffer.getvalue()


CHECKPOINTS: dict[str, Callable[[Path], bytes]] = {
    "a pickle": lambda marker: pickle.dumps(Payload(marker)),
    "torch's file": lambda marker: _saved({"state_dict": {"a": Payload(marker)}, "epoch": 0}),
    "torch's old file": lambda marker: _saved(Payload(marker), _use_new_zipfile_serialization=False),
}
ARRAYS: dict[str, Callable[[Path], bytes]] = {
    "an array of objects": lambda marker: _array(Payload(marker)),
    "a pickle": lambda marker: pickle.dumps(Payload(marker)),
}
