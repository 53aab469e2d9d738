"""The Grad-CAM grid in a real fit and test, whose hooks run in inference mode."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.small_run import small_data, small_module, small_trainer, watch_grids
from lightning.pytorch.callbacks import Callback
from PIL import Image
from torch import nn

from jersey.callbacks.grids import GradCam, stage_for
from jersey.core.errors import UserError
from jersey.evaluation.grad_cam import grad_cam
from jersey.models.resnet import Stem, resnet
from jersey.plots.image_grid import heat_overlay

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on loader workers and the like


def test_the_test_crops_are_explained_by_the_tested_weights(
    crops_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, grids = small_data(crops_root), watch_grids(monkeypatch)
    module, trainer = small_module(data), small_trainer(tmp_path, GradCam(crops=3), epochs=1)
    trainer.fit(module, datamodule=data)
    assert not grids, "after a validation the weights may be other than the scored ones"
    before = {name: value.clone() for name, value in module.state_dict().items()}
    trainer.test(module, datamodule=data, verbose=False)
    ((title, (wrong, right)),) = grids.items()
    assert stage_for(module.network.backbone, data.size_px) in title
    read_N, labels_N = module.evaluations["test"].logits_NK.argmax(dim=1), data.decoded["test"].labels_N
    assert (wrong.out_of, right.out_of) == (int((read_N != labels_N).sum()), int((read_N == labels_N).sum()))
    assert 1 <= len(wrong.tiles) <= 3
    assert 1 <= len(right.tiles) <= 3
    images_NCHW = data.decoded["test"].images_NCHW
    layer = module.network.backbone.get_submodule(stage_for(module.network.backbone, data.size_px))
    for section in (wrong, right):
        for tile in section.tiles:
            crop_HW3, for_read_HW3, for_rival_HW3 = tile.images
            (row,) = [i for i, image in enumerate(images_NCHW.permute(0, 2, 3, 1)) if np.array_equal(image, crop_HW3)]
            rival = labels_N[row] if section is wrong else module.evaluations["test"].logits_NK[row].topk(2).indices[1]
            for shown_HW3, k in ((for_read_HW3, read_N[row]), (for_rival_HW3, rival)):
                map_1HW = grad_cam(module.network, layer, images_NCHW[row : row + 1], k[None].clone())
                np.testing.assert_allclose(shown_HW3, heat_overlay(crop_HW3, map_1HW[0].numpy()), atol=4)
                assert f"for {data.labels.names[k]}" in tile.caption[1]
    assert Image.open(tmp_path / "grad_cam_test.png").format == "PNG"
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


STAGES = ["layer1", "layer2", "layer3", "layer4"]


@pytest.mark.parametrize("stem", ["imagenet", "small"])
@pytest.mark.parametrize("size_px", [(224, 224), (96, 224), (224, 96), (48, 64), (24, 24), (16, 64), (8, 8)])
def test_the_stage_is_the_last_that_shows_something(stem: Stem, size_px: tuple[int, int]) -> None:
    """By the shapes that come out of a real ResNet, whose values take no part."""
    positions: list[int] = []
    with torch.device("meta"):
        backbone, _ = resnet("resnet18", weights=None, stem=stem)
        for name in STAGES:
            backbone.get_submodule(name).register_forward_hook(lambda *args: positions.append(min(args[2].shape[2:])))
        backbone(torch.zeros(2, 3, *size_px))
    enough = [name for name, count in zip(STAGES, positions, strict=True) if count >= 6]
    assert stage_for(backbone, size_px) == (enough[-1] if enough else STAGES[0])


def test_a_network_that_never_pools_is_no_small_stem(crops_root: Path) -> None:
    network = small_module(small_data(crops_root)).network
    assert stage_for(network.backbone, (96, 200)) == "layer3"


def test_a_network_without_stages_is_refused_before_training(crops_root: Path, tmp_path: Path) -> None:
    data = small_data(crops_root)
    module, callback = small_module(data), GradCam()
    assert isinstance(callback, Callback)
    module.network.backbone = nn.Flatten()
    with pytest.raises(UserError, match="grad_cam=None"):
        small_trainer(tmp_path, callback).fit(module, datamodule=data)
