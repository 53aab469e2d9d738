"""One predictor serves many threads and forked processes, is not affected by its file, and leaks nothing."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers.exported import tiny_model, wide_model
from PIL import Image
from robustness.predictor_soak import crops_of, soak
from robustness.soak import growth

from jersey.inference import Prediction, Predictor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


def test_twenty_threads_share_a_predictor(model: Path, tmp_path: Path) -> None:
    crops = list(crops_of(tmp_path, 200, seed=0))
    predictor = Predictor(model, batch_size=8)
    alone = [str(each) for each in predictor.predict_all(crops)]

    def predict(turn: int) -> list[str]:
        if turn % 2:
            return [str(predictor.predict(crop)) for crop in crops]
        return [str(each) for each in predictor.predict_all(crops)]

    with ThreadPoolExecutor(20) as threads:
        assert all(found == alone for found in threads.map(predict, range(20)))


FORKED = """
import os, sys, time
from jersey.inference import Predictor
model, image = sys.argv[1:]
predictor = Predictor(model, threads=2)
before = [str(each) for each in predictor.predict_all([image] * 40)]
time.sleep(0.5)  # all threads are idle
if not (child := os.fork()):
    forked = [str(each) for each in predictor.predict_all([image] * 2)]
    own = [str(each) for each in Predictor(model).predict_all([image] * 2)]
    os._exit(0 if forked == own == before[:2] else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_continues_with_the_predictor(model: Path, tmp_path: Path) -> None:
    Image.new("RGB", (30, 40), (9, 200, 7)).save(tmp_path / "crop.png")
    words = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED, str(model), str(tmp_path / "crop.png")]
    assert subprocess.run(words, timeout=120, check=False).returncode == 0


@pytest.mark.parametrize("is_in_place", [False, True], ids=["renamed over", "overwritten"])
def test_a_file_that_is_replaced_changes_new_predictors_only(is_in_place: bool, model: Path, tmp_path: Path) -> None:
    crops = list(crops_of(tmp_path, 40, seed=1))
    path, other = tmp_path / "model.onnx", wide_model(tmp_path / "other.onnx", seed=3)
    shutil.copyfile(model, path)
    predictor = Predictor(path)
    before = readings(predictor, crops)
    if is_in_place:
        path.write_bytes(other.read_bytes())
    else:
        os.replace(other, path)  # noqa: PTH105
    assert readings(predictor, crops) == before
    assert readings(Predictor(path), crops) != before


def readings(predictor: Predictor, crops: Sequence[np.ndarray | Path]) -> list[str]:
    found = list(predictor.predict_all(crops))
    assert all(isinstance(each, Prediction) for each in found)
    return [str(each) for each in found]


def test_the_memory_of_a_predictor_is_flat(model: Path, tmp_path: Path) -> None:
    found = growth(list(soak(model, tmp_path, crops=10_000)))
    assert found.pop("anonymous") < 0.01
    assert found.pop("resident") < 0.01
    assert set(found.values()) == {0}
