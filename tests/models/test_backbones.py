"""Backbones of torchvision and timm: features, stems, weights, sizes, and errors; ten are trained and exported."""

import sys
from pathlib import Path

import fiddle as fdl
import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from jersey import config as configs
from jersey import experiment as stages
from jersey import testing
from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.experiment import Experiment
from jersey.inference import Predictor
from jersey.lint.checks import check
from jersey.models.backbones import build_backbone, name_error, size_error, statistics_remark
from jersey.models.network import classifier
from jersey.recipes.resnet18_small import resnet18_small
from jersey.report.model_profile import flops
from jersey.runs.folder import open_run

SIZE_PX = 64
BACKBONES = (
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "mnasnet0_5",
    "regnet_y_400mf",
    "googlenet",
    "timm:test_vit",
    "timm:test_convnext",
    "timm:test_efficientnet",
    "timm:resnet10t",
)


def features(backbone: nn.Module) -> Tensor:
    images = torch.randn(2, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return backbone.eval()(images)


@pytest.mark.parametrize(
    ("architecture", "size"), [("resnet18", 512), ("resnet50", 2048), ("squeezenet1_1", 512), ("timm:test_vit", 64)]
)
def test_the_number_of_features_is_correct(architecture: str, size: int) -> None:
    backbone, count = build_backbone(architecture)
    assert count == size == features(backbone).shape[1]
    again, _ = build_backbone(architecture)
    assert not torch.equal(features(again), features(backbone))


def positions(backbone: nn.Module, size_px: int) -> list[int]:
    """Returns the width of the output of each stage."""
    sides: list[int] = []
    hooks = [
        backbone.get_submodule(f"layer{stage}").register_forward_hook(
            lambda _, __, output: sides.append(output.shape[3])
        )
        for stage in (1, 2, 3, 4)
    ]
    with torch.no_grad():
        backbone.eval()(torch.zeros(1, 3, size_px, size_px))
    for hook in hooks:
        hook.remove()
    return sides


def test_the_small_stem_has_twice_the_resolution_at_four_times_the_flops() -> None:
    standard, _ = build_backbone("resnet18")
    small, size = build_backbone("resnet18", stem="small")
    assert size == 512
    assert positions(standard, 64) == [16, 8, 4, 2]
    assert positions(small, 64) == [32, 16, 8, 4]
    crop_1CHW = torch.zeros(1, 3, 64, 64)
    first = flops(standard.conv1, crop_1CHW)  # type: ignore[arg-type]  # the stubs of a module's attributes
    assert flops(small, crop_1CHW) - first == 4 * (flops(standard, crop_1CHW) - first)


@pytest.mark.parametrize(
    ("architecture", "first"), [("mobilenet_v3_small", "features.0.0"), ("timm:lcnet_050", "conv_stem")]
)
def test_the_small_stem_of_other_networks_has_twice_the_resolution(architecture: str, first: str) -> None:
    sides = []
    for stem in ("imagenet", "small"):
        backbone, _ = build_backbone(architecture, stem=stem)  # type: ignore[arg-type]
        backbone.get_submodule(first).register_forward_hook(lambda _, __, output: sides.append(output.shape[2:]))
        features(backbone)
    assert sides == [(32, 32), (64, 64)]


def test_a_stem_without_a_stride_of_two_cannot_be_small() -> None:
    with pytest.raises(UserError, match=r"stem=small halves .* convolution of swin_t has another; set .*stem=imagenet"):
        build_backbone("swin_t", stem="small")


@pytest.mark.parametrize(
    ("architecture", "sentence"),
    [
        ("resnt18", r"architecture=resnt18 is no classifier of torchvision; did you mean .*resnet18.*\?"),
        ("fasterrcnn_resnet50_fpn", r"no classifier of torchvision"),
        ("timm:resnet10", r"architecture=timm:resnet10 is no classifier of timm; did you mean .*timm:resnet10t.*\?"),
        ("zzzzzz", r"zzzzzz is no classifier of torchvision; choose one such as resnet18 or"),
        ("", r"is no classifier of torchvision"),
    ],
)
def test_an_unknown_name_is_refused_before_anything_is_read(architecture: str, sentence: str) -> None:
    config = resnet18_small()
    config.module.network.architecture = architecture
    with pytest.raises(UserError, match=sentence):
        check(config)
    with pytest.raises(UserError, match=sentence):
        build_backbone(architecture)


def test_without_timm_its_names_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    sentence = name_error("timm:resnet10t")
    assert sentence == (
        'module.network.architecture=timm:resnet10t needs the package timm; run pip install "jersey[timm]", or choose '
        "one of torchvision"
    )
    assert name_error("mobilenet_v3_small") is None


@pytest.mark.parametrize(("architecture", "size_px"), [("vit_b_32", "(224,224)"), ("inception_v3", "(299,299)")])
def test_crops_of_an_unsuitable_size_are_one_sentence_whose_advice_works(architecture: str, size_px: str) -> None:
    backbone, _ = build_backbone(architecture)
    assert backbone.training
    sentence = size_error(architecture, backbone, (SIZE_PX, 40))
    assert sentence
    assert f"{architecture} cannot process crops of data.size_px=(64,40) (" in sentence
    assert sentence.endswith(f"; set data.size_px={size_px}")
    assert size_error(architecture, backbone, (int(size_px[1:4]),) * 2) is None
    assert backbone.training


def test_an_unsuitable_size_ends_a_run_before_training(crops_root: Path, tmp_path: Path) -> None:
    config = resnet18_small()
    testing.shrink(config, crops_root)
    config.module.network.architecture = "vit_b_32"
    experiment: Experiment = fdl.build(config)
    run = open_run(tmp_path, "backbone", "run", config_files={"config.txt": configs.as_text(config)})
    with pytest.raises(UserError, match=r"vit_b_32 cannot process crops of data\.size_px=\(32,32\)"):
        experiment.prepare(run, experiment.read_data())


@pytest.mark.parametrize("architecture", ["mobilenet_v3_small", "googlenet"])
def test_a_file_of_the_library_is_loaded(architecture: str, tmp_path: Path) -> None:
    """The file also has the classifiers that the backbone lacks."""
    torch.manual_seed(0)
    theirs = models.get_model(
        architecture, weights=None, **({"init_weights": False} if architecture == "googlenet" else {})
    )
    torch.save({"state_dict": theirs.state_dict()}, file := tmp_path / "weights.pth")
    ours = classifier(labels=Labels(("0", "1")), architecture=architecture, weights=str(file)).backbone
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name
    with pytest.raises(UserError, match=r"none of shufflenet_v2_x0_5, resnet18, .* or a part of one"):
        classifier(labels=Labels(("0", "1")), architecture="shufflenet_v2_x0_5", weights=str(file))


def test_weights_that_expect_another_normalization_are_told_apart() -> None:
    """The means and standard deviations of timm's own table: 0.5 for this ViT, ImageNet's for ResNets."""
    assert "mean (0.5, 0.5, 0.5) and std (0.5, 0.5, 0.5)" in statistics_remark("timm:vit_tiny_patch16_224")
    assert statistics_remark("timm:resnet18") == statistics_remark("resnet18") == ""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("architecture", BACKBONES)
def test_a_backbone_is_trained_a_step_exported_and_is_a_source_of_weights(
    architecture: str, crops_root: Path, tmp_path: Path
) -> None:
    config = resnet18_small()
    testing.shrink(config, crops_root, size_px=SIZE_PX)
    config.module.network.architecture = architecture
    config.trainer.limit_batches = 1
    check(config)
    experiment: Experiment = fdl.build(config)
    run = open_run(tmp_path, "backbone", "run", config_files={"config.txt": configs.as_text(config)})
    state = experiment.prepare(run, experiment.read_data())
    stages.fit(state)
    assert stages.export(state, stages.test(state)).parity.disagreements == []
    assert Predictor(run.onnx).numbers == state.data.labels.names
    has_map = (run.path / "grad_cam_test.png").exists()
    assert has_map == (architecture != "timm:test_vit")
    settings = {"labels": state.data.labels, "stem": "imagenet", "normalization": "per_image"}
    again = classifier(architecture=architecture, weights=str(run.path), **settings).backbone.state_dict()
    trained = state.module.network.backbone.state_dict()
    assert all(torch.equal(again[name], value) for name, value in trained.items() if "num_batches" not in name)
    with pytest.raises(UserError, match=f"has the weights of .* set module.network.architecture={architecture}, or"):
        classifier(architecture="resnet18", weights=str(run.path), **settings)
    with pytest.raises(UserError, match=r"lacks the metadata of a ResNet.*; name the folder of its run"):
        classifier(architecture=architecture, weights=str(run.onnx), **settings)
