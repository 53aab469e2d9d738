"""The compositional head in a real fit with EMA weights, and in an exported ONNX file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.small_run import small_data, small_module, small_trainer

from jersey.callbacks.ema import EMA
from jersey.data.datamodule import JerseyDataModule
from jersey.export.export_module import ExportModule, ExportSettings
from jersey.export.onnx_file import export_onnx
from jersey.export.parity import Reference
from jersey.inference.onnx_model import OnnxModel
from jersey.models.heads import CompositionalHead
from jersey.models.parts import NUMBERS, composition
from jersey.training.module import JerseyModule


@pytest.fixture(scope="module")
def data(crops_root: Path) -> JerseyDataModule:
    return small_data(crops_root)


@pytest.fixture(scope="module")
def fitted(data: JerseyDataModule, tmp_path_factory: pytest.TempPathFactory) -> JerseyModule:
    """A module trained for two epochs on crops of "0", "00" and "01"."""
    module = small_module(data, is_augmented=False)
    module.network.head = CompositionalHead(features=8, labels=data.labels)
    trainer = small_trainer(tmp_path_factory.mktemp("run"), EMA(decay=0.7), epochs=2)
    trainer.fit(module, datamodule=data)
    return module.eval()


def test_training_updates_the_parts_and_ema_keeps_the_constants(fitted: JerseyModule, data: JerseyDataModule) -> None:
    head = fitted.network.head
    assert isinstance(head, CompositionalHead)
    trained_P = head.parts.weight.abs().sum(dim=1) > 0
    in_labels_P = composition(data.labels.names).sum(dim=1) > 0
    assert torch.equal(trained_P, in_labels_P)  # a digit that no label has gets no gradient
    fresh = CompositionalHead(features=8, labels=data.labels)
    for (name, constant), (_, expected) in zip(head.named_buffers(), fresh.named_buffers(), strict=True):
        assert torch.equal(constant, expected), name


def test_onnxruntime_agrees_with_torch(fitted: JerseyModule, data: JerseyDataModule, tmp_path: Path) -> None:
    images_NCHW, labels_N = data.decoded["val"].images_NCHW, data.decoded["val"].labels_N
    settings = ExportSettings(labels=data.labels, size_px=data.size_px, resize_mode=data.resize_mode, temperature=2.0)
    module = ExportModule(fitted.network, settings)
    reference = Reference.of(module.network, images_NCHW, labels_N, data.splits["val"].paths)
    parity = export_onnx(module, tmp_path / "model.onnx", reference=reference, metadata={})
    assert parity.disagreements == []
    assert parity.max_logit_difference < 1e-4
    with torch.inference_mode():
        expected_NK = fitted.network(images_NCHW)
        open_NM = fitted.network.open_vocabulary_logits(images_NCHW)
    assert expected_NK.std(dim=0).min() > 0
    model, images = OnnxModel(tmp_path / "model.onnx"), images_NCHW.numpy()
    np.testing.assert_allclose(model.logits(images), expected_NK, atol=1e-4)
    np.testing.assert_allclose(model.output("probabilities", images), (expected_NK / 2).softmax(dim=1), atol=1e-5)
    assert model.vocabulary == NUMBERS
    np.testing.assert_allclose(
        model.output("open_vocabulary_probabilities", images), (open_NM / 2).softmax(dim=1), atol=1e-5
    )
