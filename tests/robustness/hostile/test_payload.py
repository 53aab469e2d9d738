"""The payloads do harm where they are let; without that, the tests beside this one would prove nothing."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import payload


@pytest.mark.parametrize("kind", payload.CHECKPOINTS)
def test_a_checkpoint_runs_its_payload_where_torch_may_unpickle(kind: str, tmp_path: Path) -> None:
    with contextlib.suppress(RuntimeError):  # said of a plain pickle when it has run
        torch.load(io.BytesIO(payload.CHECKPOINTS[kind](tmp_path / "ran")), weights_only=False)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", payload.ARRAYS)
def test_an_array_runs_its_payload_where_numpy_may_unpickle(kind: str, tmp_path: Path) -> None:
    np.load(io.BytesIO(payload.ARRAYS[kind](tmp_path / "ran")), allow_pickle=True)
    assert (tmp_path / "ran").exists()
