"""Image grids of crops: the tiles of the shared run, compared with the data, and the effects of settings."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.looked_at import EPOCHS, LookedAt, Witness
from helpers.small_run import copy_of, small_data, small_module, trainer_in, watch_grids
from PIL import Image
from torch import nn

from jersey.augment.mixing import CutMix, Mix
from jersey.callbacks.base import EvaluatedSplit
from jersey.callbacks.grids import GradCam, InputGrid, PredictionGrid
from jersey.core.errors import UserError
from jersey.data.datamodule import JerseyDataModule
from jersey.evaluation.grad_cam import grad_cam, layer_for
from jersey.evaluation.metrics import Evaluation
from jersey.plots.image_grid import TileSection, heat_overlay

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like


def assert_shows_the_inputs(section: TileSection, data: JerseyDataModule, witness: Witness, epoch: int) -> None:
    images_BCHW, labels_B = witness.seen[epoch, 0]
    assert (len(section.tiles), section.out_of) == (9, 16)
    for tile, image_CHW, label in zip(section.tiles, images_BCHW, labels_B.tolist(), strict=False):
        shown_CHW = torch.from_numpy(tile.images[-1]).permute(2, 0, 1)
        assert (shown_CHW - image_CHW.float()).abs().max() <= 0.51
        assert len(tile.images) == (1 if "unchanged" in section.heading else 2)
        assert tile.caption[0] == data.labels.names[label]
        stored_NCHW = data.decoded["train"].images_NCHW[data.decoded["train"].labels_N == label]
        first_CHW = torch.from_numpy(tile.images[0]).permute(2, 0, 1)
        assert (stored_NCHW == first_CHW).flatten(1).all(dim=1).any()


def test_input_grid_shows_the_pixels_of_training(looked_at: LookedAt) -> None:
    sections = {title: sections for title, sections in looked_at.grids.items() if title.startswith("train")}
    assert list(sections) == ["train, epoch 1 of 4", "train, epoch 3 of 4"]
    for epoch, (section,) in zip((0, 2), sections.values(), strict=True):
        assert_shows_the_inputs(section, looked_at.data, looked_at.witness, epoch)
        assert "unchanged" not in section.heading
    assert [where["epoch"] for where in looked_at.where("inputs")] == [0, 2]
    assert Image.open(looked_at.folder / "inputs_train.png").format == "PNG"
    assert len(looked_at.witness.seen) == 3 * EPOCHS


@pytest.mark.parametrize("mix", [None, CutMix(alpha=1.0)])
def test_input_grid_shows_mixing_and_does_not_change_training(
    crops_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mix: Mix | None
) -> None:
    """By default only the first epoch has a grid."""
    data, grids, states = small_data(crops_root), watch_grids(monkeypatch), []
    for name, callbacks in {"without": [], "with": [InputGrid(crops=9)]}.items():
        module, witness = small_module(data, is_augmented=False, mix=mix), Witness()
        trainer_in(tmp_path / name, module, witness, *callbacks, epochs=2).fit(module, datamodule=data)
        states.append(module.state_dict() | {"generator": torch.get_rng_state()})
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    (((section,)),) = grids.values()
    assert_shows_the_inputs(section, data, witness, epoch=0)
    assert ("unchanged" in section.heading) == (mix is None)


def row_of(image_HW3: np.ndarray, data: JerseyDataModule, subset: str) -> int:
    images_NHW3 = data.decoded[subset].images_NCHW.permute(0, 2, 3, 1).numpy()
    (row,) = [row for row, stored_HW3 in enumerate(images_NHW3) if np.array_equal(stored_HW3, image_HW3)]
    return row


@pytest.mark.parametrize("subset", ["val", "test"])
def test_tiles_show_the_crops_of_their_captions(looked_at: LookedAt, subset: str) -> None:
    evaluation, data = looked_at.module.evaluations[subset], looked_at.data
    (title,) = [title for title in looked_at.grids if title.startswith(f"{subset}:") and "correct" in title]
    sections = looked_at.grids[title]
    predicted_N = evaluation.logits_NK.argmax(dim=1)
    correct, total = int((predicted_N == evaluation.labels_N).sum()), len(predicted_N)
    assert f"{correct} of {total}" in title
    counts = [correct, total - correct, total]
    assert [section.out_of for section in sections] == counts
    assert [len(section.tiles) for section in sections] == [min(3, count) for count in counts]
    for section, kind in zip(sections, ("correct", "incorrect", "both"), strict=True):
        for tile in section.tiles:
            row = row_of(tile.images[0], data, subset)
            predicted, label = data.labels.names[predicted_N[row]], data.splits[subset].labels[row]
            assert (tile.caption[0].split()[-1], tile.caption[1].split()[-1]) == (predicted, label)
            assert tile.is_marked == (predicted != label)
            assert kind == "both" or tile.is_marked == (kind == "incorrect")


def test_tiles_use_the_rows_of_the_split(crops_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, grids, callback = small_data(crops_root), watch_grids(monkeypatch), PredictionGrid()
    module = small_module(data)
    trainer = trainer_in(tmp_path, module)
    trainer.test(module, datamodule=data, verbose=False)
    rows = torch.tensor([7, 0, 11])
    labels_N = data.decoded["test"].labels_N[rows]
    module.evaluations["test"] = Evaluation(3 * torch.eye(3)[labels_N], labels_N, rows)
    callback.on_split_evaluated(EvaluatedSplit(trainer, module, "test"))
    ((correct, _, _),) = grids.values()
    assert [row_of(tile.images[0], data, "test") for tile in correct.tiles] == rows.tolist()


def test_grad_cam_explains_test_crops_with_the_tested_weights(looked_at: LookedAt) -> None:
    """After a validation the module may no longer hold the evaluated weights."""
    (title,) = [title for title in looked_at.grids if "Grad-CAM" in title]
    module, data, (incorrect, correct) = looked_at.module, looked_at.data, looked_at.grids[title]
    backbone, evaluation = module.network.backbone, module.evaluations["test"]
    stage = layer_for(backbone, torch.zeros(1, 3, *data.size_px))
    assert stage
    assert title.startswith("test")
    assert stage in title
    predicted_N, labels_N = evaluation.logits_NK.argmax(dim=1), data.decoded["test"].labels_N
    is_correct_N = predicted_N == labels_N
    assert (incorrect.out_of, correct.out_of) == (int((~is_correct_N).sum()), int(is_correct_N.sum()))
    before = copy_of(module)
    for section in (incorrect, correct):
        assert 1 <= len(section.tiles) <= 3
        for tile in section.tiles:
            crop_HW3, *shown = tile.images
            row = row_of(crop_HW3, data, "test")
            contrast = labels_N[row] if section is incorrect else evaluation.logits_NK[row].topk(2).indices[1]
            for shown_HW3, k in zip(shown, (predicted_N[row], contrast), strict=True):
                crop_1CHW = data.decoded["test"].images_NCHW[row : row + 1]
                map_1HW = grad_cam(module.network, backbone.get_submodule(stage), crop_1CHW, k[None].clone())
                np.testing.assert_allclose(shown_HW3, heat_overlay(crop_HW3, map_1HW[0].numpy()), atol=4)
                assert f"for {data.labels.names[k]}" in tile.caption[1]
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert Image.open(looked_at.folder / "grad_cam_test.png").format == "PNG"


def test_the_layer_can_be_chosen_and_a_wrong_name_is_refused_before_training(crops_root: Path, tmp_path: Path) -> None:
    data = small_data(crops_root)
    module = small_module(data)
    with pytest.raises(UserError, match=r"grad_cam\.layer='layr3' is no submodule .* layer3.* name one of them"):
        trainer_in(tmp_path, module, GradCam(layer="layr3")).fit(module, datamodule=data)
    titles = []
    for layer in ("layer3", None):
        with pytest.MonkeyPatch.context() as patch:
            grids = watch_grids(patch)
            trainer_in(tmp_path, module, GradCam(layer=layer)).test(module, datamodule=data, verbose=False)
        titles += grids
    assert [title.partition("Grad-CAM of ")[2].partition(",")[0] for title in titles] == ["layer3", "layer1"]


def test_a_network_without_positions_has_no_grad_cam_and_the_run_says_so(
    crops_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="jersey")
    data = small_data(crops_root)
    module = small_module(data)
    module.network.backbone = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 8), nn.ReLU())
    trainer_in(tmp_path, module, GradCam()).test(module, datamodule=data, verbose=False)
    assert "no Grad-CAM: the later layers of the network have no positions" in caplog.text
    assert not list(tmp_path.rglob("grad_cam*"))
