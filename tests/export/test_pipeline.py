"""A network that leaves with illegible crops and tracklets in its data: what is told of them is what the file does."""

import json
from importlib.metadata import version

import numpy as np
import pytest
import torch
from helpers.illegible_crops import EACH, NUMBERS, draw, network, opened
from helpers.small_run import small_trainer, tiny_module

from jersey.data.datamodule import JerseyDataModule
from jersey.export import pipeline
from jersey.export.pipeline import ExportResult, export_run
from jersey.inference.onnx_model import OnnxModel
from jersey.inference.tracklet import pool_frames
from jersey.runs.folder import RunFolder, open_run

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> JerseyDataModule:
    return opened(draw(tmp_path_factory.mktemp("crops"), "folders"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return open_run(tmp_path_factory.mktemp("runs"), "tiny", "run", documents={"config.txt": ""})


@pytest.fixture(scope="module")
def exported(data: JerseyDataModule, folder: RunFolder) -> ExportResult:
    torch.manual_seed(0)
    module = tiny_module(data, network=network)
    trainer = small_trainer(folder.path, epochs=3)
    trainer.fit(module, datamodule=data)
    trainer.test(module, datamodule=data, verbose=False)
    best = {"scored_weights": "raw", "val": module.evaluations["val"].metrics}
    about = {"best": best, "test": module.evaluations["test"], "commit": "none"}
    with pytest.MonkeyPatch.context() as patch:  # a checkout that is not installed has no version
        patch.setattr(pipeline, "PRODUCERS", ("torch", "nobody-has-installed-this"))
        return export_run(module.network, data, folder, **about, variants=(), min_agreement=1.0)


@pytest.fixture
def probabilities_NK(exported: ExportResult, folder: RunFolder, data: JerseyDataModule) -> np.ndarray:
    """Of all test crops, by the file."""
    return OnnxModel(folder.onnx).output("probabilities", data.decoded["test"].images_NCHW.numpy())


def test_answers_to_illegible_crops_are_wrong_answers(
    folder: RunFolder, data: JerseyDataModule, probabilities_NK: np.ndarray
) -> None:
    labels_N = data.decoded["test"].labels_N.numpy()
    assert (labels_N < 0).sum() == EACH["test"][1]
    found = [each for each in OnnxModel(folder.onnx).thresholds if each.confidence is not None]
    for each in found:
        answered_N = probabilities_NK.max(axis=1) >= each.confidence
        right_N = probabilities_NK.argmax(axis=1) == labels_N
        assert each.test_coverage == pytest.approx(answered_N[labels_N >= 0].mean())
        assert each.test_precision == (pytest.approx(right_N[answered_N].mean()) if answered_N.any() else None)


def test_tracks_are_read_as_a_reader_would(
    exported: ExportResult, data: JerseyDataModule, probabilities_NK: np.ndarray
) -> None:
    split = data.splits["test"]
    legible = EACH["test"][0] * len(NUMBERS)
    one, three = exported.tracklet_accuracy
    assert (one.frames, one.windows) == (1, legible)
    assert one.right == (probabilities_NK.argmax(axis=1) == data.decoded["test"].labels_N.numpy()).sum()
    assert (three.frames, three.windows) == (3, len(NUMBERS))
    right = 0
    for label, number in enumerate(NUMBERS):
        rows = [row for row, tracklet in enumerate(split.tracklets) if tracklet == f"{number}/p0"]
        assert len(rows) == 3
        right += int(pool_frames(probabilities_NK[rows]).argmax() == label)
    assert three.right == right


@pytest.mark.usefixtures("exported")
def test_the_file_knows_the_correlation_of_frames_and_what_made_it(folder: RunFolder) -> None:
    model = OnnxModel(folder.onnx)
    assert model.frame_correlation is not None
    versions = json.loads(model.metadata["producers"])
    assert versions == {"torch": version("torch"), "nobody-has-installed-this": "not installed"}
