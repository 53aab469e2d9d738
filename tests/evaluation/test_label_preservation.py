"""Augmentations that destroy labels are found and named, others are not."""

import json
from pathlib import Path

import fiddle as fdl
import pytest
import torch
from torch import Generator, Tensor
from torchvision.transforms import v2

from jersey import config as configs
from jersey.augment.base import Augment, Augmentation
from jersey.augment.blur import Blur, MotionBlur, RandomDownscale
from jersey.augment.color import Color, Noise
from jersey.augment.erasing import RandomErasing
from jersey.augment.geometry import Geometry
from jersey.augment.jpeg import RandomJPEG
from jersey.augment.per_sample import PerSample
from jersey.cli.label_preservation import main
from jersey.evaluation.label_preservation import TOGETHER, by_operation, label_preservation, preservation_table, worst
from jersey.recipes import common

SIZE_PX = 64


class UpsideDown(Augmentation):
    """Always rotates by 180 degrees."""

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        return images_BCHW.flip(-1, -2)


class Mirrored(Augmentation):
    """Always mirrors, and inverts the colors and adds noise from the generator."""

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        noise = torch.randn(images_BCHW.shape, generator=generator)
        return 0.9 - 0.8 * images_BCHW.flip(-1) + 0.02 * noise


class Half(Augmentation):
    """Shows only the left half of the crop."""

    def forward(self, images_BCHW: Tensor, generator: Generator) -> Tensor:
        return images_BCHW * (torch.arange(images_BCHW.shape[-1]) < images_BCHW.shape[-1] // 2)


def only(operation: Augmentation) -> Augment:
    return Augment(only=operation)


@pytest.mark.parametrize(("augment", "size_px"), [(None, 64), (Augment(), 48)])
def test_without_augmentation_every_label_is_preserved(augment: Augment | None, size_px: int) -> None:
    found = label_preservation(augment, size_px=size_px, rounds=1)
    assert found.preserved == 1
    assert found.labels == 101
    assert found.example == ""


@pytest.mark.parametrize(
    "operation",
    [
        Geometry(rotation_deg=30),
        Color(brightness=0.3, contrast=0.3, saturation=0.3, channel_swap_p=1.0),
        Noise(std=0.05),
        Blur(sigma_px=1),
        MotionBlur(length_px=3),
        RandomDownscale(factor=1.5),
        RandomJPEG(quality=30),
        RandomErasing(area=0.01),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_mild_augmentations_preserve_labels(operation: Augmentation) -> None:
    assert label_preservation(only(operation), rounds=1).preserved > 0.99


def test_outcomes_are_distinguished_by_kind() -> None:
    """A rotation by 180 degrees turns 6 into 9; a mirror preserves 0, 8 and 11; half a crop lacks the second digit."""
    changed, mirrored, half = (label_preservation(only(each()), rounds=1) for each in (UpsideDown, Mirrored, Half))
    assert changed.changed > 0.6
    assert 0.5 < mirrored.changed + mirrored.faded < 0.99
    assert changed.deleted == mirrored.deleted == 0
    assert half.deleted > 0.7
    blank = label_preservation(lambda images, generator: torch.zeros_like(images, dtype=torch.float32), rounds=1)
    assert blank.deleted == 1
    assert blank.example.endswith(" -> nothing")
    state, shifted = torch.get_rng_state(), [label_preservation(only(Geometry(shift=0.3)), rounds=2) for _ in range(2)]
    assert shifted[0] == shifted[1], "the same at every call"
    assert torch.equal(torch.get_rng_state(), state)
    assert shifted[0].preserved + shifted[0].deleted + shifted[0].changed + shifted[0].faded == pytest.approx(1)


@pytest.mark.parametrize(
    ("operation", "loss"),
    [
        (RandomErasing(area=0.9), 0.3),
        (Geometry(rotation_deg=180), 0.5),
        (Blur(sigma_px=12), 0.3),
        (Noise(std=1.5), 0.1),
        (Color(contrast=1.0, brightness=0.99), 0.02),
        (PerSample(v2.RandomResizedCrop((SIZE_PX, SIZE_PX), scale=(0.08, 1.0))), 0.2),
        (PerSample(v2.RandomHorizontalFlip()), 0.3),
    ],
    ids=lambda each: type(each).__name__,
)
def test_excessive_augmentations_are_found(operation: Augmentation, loss: float) -> None:
    assert label_preservation(only(operation), rounds=1).preserved < 1 - loss


def test_the_worst_operation_is_named() -> None:
    found = by_operation(Augment(color=Color(channel_swap_p=0.5), mirror=Mirrored(), noise=Noise(std=0.02)), rounds=1)
    assert list(found) == ["color", "mirror", "noise", TOGETHER]
    assert worst(found) == "mirror"
    assert found["color"].preserved == 1
    lines = preservation_table(found).splitlines()
    assert lines[1].startswith("mirror")
    assert lines[-1].startswith(TOGETHER)
    assert worst(by_operation(Augment(color=Color(channel_swap_p=0.5)), rounds=1)) is None


def test_the_command_measures_the_pipeline_of_a_saved_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = common.base()
    del config.module.augment.noise
    config.module.augment.changed = fdl.Config(Geometry, rotation_deg=180.0)
    config.data.size_px = (48, 40)
    (tmp_path / "config.json").write_text(configs.to_json(config, "planted"), encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["label_preservation", str(tmp_path), "--rounds=1"])
    main()
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[1:4]] == ["changed", "geometry", "color"]
    found = json.loads(printed[-1])
    assert found["bench"] == "label_preservation"
    assert found["worst"] == "changed"
    assert found["preserved"] < 0.7
