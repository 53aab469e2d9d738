"""Augmentation destroys at most one label in a hundred, except in the experiments that measure such destruction."""

import fiddle as fdl
import pytest
from helpers.registered import EXPERIMENTS as NAMES
from torchvision.transforms import v2

from jersey import config as configs
from jersey.augment.geometry import Geometry
from jersey.augment.per_sample import PerSample
from jersey.evaluation.label_preservation import LabelPreservation, by_operation, label_preservation, preservation_table
from jersey.recipes import common

MAX_DESTROYED = 0.01
SIZE_PX = 64  # operations with sizes in pixels affect small crops most
WITH_COMMON_CROP = ["resnet18_small_plain", "resnet18_small_plain_augment"]
_measured: dict[str, LabelPreservation] = {}


def measured(augment: fdl.Buildable | None) -> LabelPreservation:
    """Measures each pipeline once, because most experiments share one."""
    key = "" if augment is None else configs.as_text(augment)
    if key not in _measured:
        _measured[key] = label_preservation(
            None if augment is None else configs.build(augment), size_px=SIZE_PX, rounds=2
        )
    return _measured[key]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITH_COMMON_CROP])
def test_augmentation_preserves_labels(name: str) -> None:
    augment = configs.get_experiment(name)().module.augment
    if 1 - measured(augment).preserved > MAX_DESTROYED:
        pytest.fail(
            f"{name} destroys labels:\n{preservation_table(by_operation(configs.build(augment), size_px=SIZE_PX))}"
        )


@pytest.mark.parametrize("name", WITH_COMMON_CROP)
def test_common_crop_is_detected(name: str) -> None:
    assert 1 - measured(configs.get_experiment(name)().module.augment).preserved > MAX_DESTROYED


DESTRUCTIVE = {
    "flips": fdl.Config(PerSample, fdl.Config(v2.RandomHorizontalFlip, p=0.1)),
    "half-turns": fdl.Config(Geometry, rotation_deg=180.0),
    "strong crops": fdl.Config(PerSample, fdl.Config(v2.RandomResizedCrop, (SIZE_PX, SIZE_PX), scale=(0.08, 1.0))),
}


@pytest.mark.parametrize("name", DESTRUCTIVE)
def test_added_operation_that_destroys_labels_is_detected(name: str) -> None:
    augment = common.augment()
    augment.added = DESTRUCTIVE[name]
    assert 1 - label_preservation(configs.build(augment), size_px=SIZE_PX, rounds=1).preserved > 2 * MAX_DESTROYED
