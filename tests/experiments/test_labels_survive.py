"""No experiment's augmentation may destroy more than a label in a hundred, but for those that show what that costs."""

import fiddle as fdl
import pytest
from helpers.registered import EXPERIMENTS as NAMES
from torchvision.transforms import v2

from experiments import common
from jersey import config as configs
from jersey.augment.geometry import Geometry
from jersey.augment.per_sample import PerSample
from jersey.evaluation.label_preservation import LabelPreservation, by_operation, label_preservation, preservation_table

MOST_DESTROYED = 0.01
SIZE_PX = 64  # what is measured in pixels does most to small crops
WITH_THE_USUAL_CROP = ["resnet18_small_plain", "resnet18_small_plain_augment"]
_measured: dict[str, LabelPreservation] = {}


def measured(augment: fdl.Buildable | None) -> LabelPreservation:
    """Once for each pipeline, as most experiments share one."""
    key = "" if augment is None else configs.as_text(augment)
    if key not in _measured:
        _measured[key] = label_preservation(
            None if augment is None else configs.build(augment), size_px=SIZE_PX, rounds=2
        )
    return _measured[key]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITH_THE_USUAL_CROP])
def test_labels_survive_its_augmentation(name: str) -> None:
    augment = configs.get_experiment(name)().module.augment
    if 1 - measured(augment).preserved > MOST_DESTROYED:
        pytest.fail(
            f"{name} destroys labels:\n{preservation_table(by_operation(configs.build(augment), size_px=SIZE_PX))}"
        )


@pytest.mark.parametrize("name", WITH_THE_USUAL_CROP)
def test_the_usual_crop_is_caught(name: str) -> None:
    assert 1 - measured(configs.get_experiment(name)().module.augment).preserved > MOST_DESTROYED


PLANTED = {
    "a flip": fdl.Config(PerSample, fdl.Config(v2.RandomHorizontalFlip, p=0.1)),
    "half-turns": fdl.Config(Geometry, rotation_deg=180.0),
    "a hard crop": fdl.Config(PerSample, fdl.Config(v2.RandomResizedCrop, (SIZE_PX, SIZE_PX), scale=(0.08, 1.0))),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_destroyer_of_labels_is_caught(planted: str) -> None:
    augment = common.augment()
    augment.planted = PLANTED[planted]
    assert 1 - label_preservation(configs.build(augment), size_px=SIZE_PX, rounds=1).preserved > 2 * MOST_DESTROYED
