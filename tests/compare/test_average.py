"""The average of fold networks is exported only if it reads the test crops better than the best of them."""

import json
from collections.abc import Sequence
from pathlib import Path

import fiddle as fdl
import numpy as np
import pytest
import torch
from helpers.run_folders import config_folder
from torch import Tensor

from jersey.compare.average import average, export_average
from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.data.decode import decode
from jersey.inference.onnx_model import OnnxModel
from jersey.recipes.reader import resnet18_finetune
from jersey.runs.folder import LABELS
from jersey.synth.generate import generate

pytestmark = pytest.mark.slow


def test_weights_are_averaged_and_counters_are_kept() -> None:
    states = [
        {"w": torch.tensor([1.0, -2.0]), "n": torch.tensor(7)},
        {"w": torch.tensor([2.0, 6.0]), "n": torch.tensor(9)},
    ]
    assert average(states)["w"].tolist() == [1.5, 2.0]
    assert average(states)["n"].item() == 7


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folds") / "crops"
    generate(root, numbers=("0", "00", "23"), train=12, val=9, test=24, size_px=64, imbalance=1.0, workers=1)
    return root


def runs(root: Path, out: Path, noise: Sequence[float]) -> list[Path]:
    """Creates finished runs of the pretrained reader, with multiples of the same noise added to its weights."""
    config = resnet18_finetune()
    config.data.root = str(root)
    experiment = fdl.build(config)
    data = experiment.data(seed=0)
    data.setup()
    module = experiment.module(labels=data.labels, class_counts=data.class_counts, seed=0)
    generator = torch.Generator().manual_seed(0)
    noise_of: dict[str, Tensor] = {
        name: value.std() * torch.randn(value.shape, generator=generator)
        for name, value in module.named_parameters()
        if value.dim() > 1
    }
    folders = []
    for fold, factor in enumerate(noise):
        folder = out / "resnet18_finetune" / f"try-fold_{fold}"
        (folder / "checkpoints").mkdir(parents=True)
        data.labels.save(folder / LABELS)
        (folder / "provenance.json").write_text(json.dumps([{"commit": "1234567"}]))
        state = {
            name: value + factor * noise_of[name] if name in noise_of else value
            for name, value in module.state_dict().items()
        }
        meta = {"labels": list(data.labels.names), "eval_weights": "ema", "val": {}}
        torch.save({"epoch": 0, "state_dict": state, "jersey": meta}, folder / "checkpoints" / "best.ckpt")
        folders.append(config_folder(config, "resnet18_finetune", folder))
    return folders


def test_the_average_is_exported_if_it_is_better(crops: Path, tmp_path: Path) -> None:
    folders = runs(crops, tmp_path, noise=(2.0, -2.0))  # the average is the reader without noise
    shown = export_average(folders, tmp_path)
    assert shown.startswith("average of the networks: 100.0 % on test, against ")
    assert shown.endswith(f"; exported as {tmp_path / 'model.onnx'}")
    model = OnnxModel(tmp_path / "model.onnx")
    paths = sorted((crops / "test").glob("*/*"))
    read = [model.logits(np.ascontiguousarray(decode(path).transpose(2, 0, 1))[None])[0].argmax() for path in paths]
    assert [model.labels.names[index] for index in read] == [path.parent.name for path in paths]
    assert json.loads(model.metadata["runs"]) == [folder.name for folder in folders]
    assert model.metadata["commit"] == "1234567"
    assert len(model.thresholds) == 3


def test_an_average_that_is_not_better_is_not_exported(crops: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("of other runs")
    shown = export_average(runs(crops, tmp_path, noise=(0.0, 0.0)), tmp_path)
    assert shown.endswith("not better, so it is not exported")
    assert not (tmp_path / "model.onnx").exists()


def test_runs_of_other_labels_are_refused(crops: Path, tmp_path: Path) -> None:
    folders = runs(crops, tmp_path, noise=(0.0, 0.0))
    Labels(("0", "23")).save(folders[1] / LABELS)
    with pytest.raises(UserError, match=r"has different labels than the run .*: without 00"):
        export_average(folders, tmp_path)
