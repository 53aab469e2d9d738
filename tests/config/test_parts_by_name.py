"""An override may put a registered part where a sub-config stands, by its name and with its arguments."""

from pathlib import Path
from typing import Any

import fiddle as fdl
import helpers.registered  # noqa: F401  # its import registers the parts
import pytest
import torch
from helpers.config_graphs import assert_works_or_raises_user_error
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from jersey.cli.axes import sweep_points
from jersey.config import apply_override, as_text, build, get_experiment, part
from jersey.config.registry import parts_for
from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.lint.checks import check
from jersey.training.losses import FocalLoss
from jersey.training.module import JerseyModule

PLACES = ("head", "loss", "mix", "optimizer", "sam", "schedule")
REQUIRED = {"mixup": "(alpha=0.4)", "cutmix": "(alpha=1.0)"}
PARTS = {place: parts.names() for place in PLACES if (parts := parts_for(place))}
CALLS = [(place, f"{name}{REQUIRED.get(name, '')}") for place, names in PARTS.items() for name in names]


def small() -> fdl.Buildable:
    return get_experiment("resnet18_small")()


def changed(*overrides: str) -> Any:
    config = small()
    for override in overrides:
        apply_override(config, override)
    check(config)
    return config


def module_of(config: Any) -> JerseyModule:
    return build(config.module)(labels=Labels(("0", "00", "23")), class_counts=[3, 2, 1], seed=0)


@pytest.mark.parametrize(("place", "call"), CALLS)
def test_every_part_trains_at_its_place(place: str, call: str) -> None:
    config = changed(f"{place}={call}")
    module = module_of(config)
    optimizer, _ = module.optimizer_and_schedule(10)
    batch = {"images": torch.zeros(4, 3, 32, 32), "labels": torch.tensor([0, 1, 2, 2])}
    targets = batch["labels"]
    if module.mix is not None:
        _, targets = module.mix(batch["images"], targets, torch.Generator(), num_classes=3)
    loss = module.loss(module.network(batch["images"]), targets, module.class_weights_K)
    loss.backward()
    optimizer.step()
    assert loss.isfinite()


def test_a_part_keeps_the_arguments_that_it_has_in_common_with_the_replaced_one() -> None:
    config = changed("lr=0.25", "optimizer=sgd(momentum=0.5)", "loss=focal(gamma=3)")
    assert (config.module.optimizer.lr, config.module.optimizer.momentum) == (0.25, 0.5)
    assert isinstance(build(config.module.loss), FocalLoss)
    assert (config.module.loss.gamma, config.module.loss.label_smoothing) == (3.0, small().module.loss.label_smoothing)
    head = changed("module.network.head=linear_head").module.network.head
    assert fdl.ordered_arguments(head) == {}
    assert isinstance(module_of(changed("head=linear_head")).network.head, nn.Linear)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("head=sgd", ("head", "'sgd'", "compositional_head, linear_head")),
        ("head=linear", ("'linear'", "did you mean linear_head")),
        ("head=None", ("module.network.head", "linear_head")),
        ("head=3", ("module.network.head", "linear_head")),
        ("head=linear_head(features=3)", ("module.network.head", "features", "none")),
        ("loss=focal(gamma=x)", ("module.loss", "gamma", "float", "'x'")),
        ("loss=focal(gama=2)", ("module.loss", "did you mean gamma")),
        ("loss=focal(2)", ("focal(2)", "name(argument=value)")),
        ("loss=focal(gamma=2", ("focal(gamma=2", "name(argument=value)")),
        ("mix=mixup", ("module.mix", "mixup(alpha=...)")),
        ("mix=7", ("part for mix", "known: cutmix, mixup")),
        ("network=linear_head", ("module.network", "sub-config")),
    ],
)
def test_a_part_of_another_place_or_with_wrong_arguments_is_an_error(override: str, words: tuple[str, ...]) -> None:
    config = small()
    with pytest.raises(UserError) as caught:
        apply_override(config, override)
    assert as_text(config) == as_text(small())
    assert all(word in str(caught.value) for word in words), caught.value


@given(st.sampled_from(PLACES), st.text(alphabet="sgdfocal()=,.'None 12", max_size=20))
def test_any_text_is_a_part_or_an_error(place: str, text: str) -> None:
    path = f"module.{'network.' if place == 'head' else ''}{place}"
    assert_works_or_raises_user_error(lambda: apply_override(small(), f"{path}={text}"))


def test_parts_are_an_axis_of_a_sweep() -> None:
    points = sweep_points(small(), ["head=linear_head,compositional_head", "optimizer=adamw,sgd(momentum=0.9, lr=0.1)"])
    assert len({point.config_text for point in points}) == len(points) == 4
    last = changed(*(each.override for each in points[-1].assignments))
    assert (last.module.optimizer.momentum, last.module.optimizer.lr) == (0.9, 0.1)
    with pytest.raises(UserError, match="one value twice, as linear_head and linear_head\\(\\)"):
        sweep_points(small(), ["head=linear_head,linear_head()"])


def test_own_parts_are_found_and_a_name_is_unique_at_its_place(tmp_path: Path) -> None:
    @part("head")
    def wide_head(*, features: int, labels: Labels, width: int = 8) -> nn.Module:
        return nn.Sequential(nn.Linear(features, width), nn.Linear(width, len(labels)))

    head = module_of(changed("head=wide_head(width=5)")).network.head
    assert [layer.out_features for layer in head] == [5, 3]
    with pytest.raises(ValueError, match="wide_head"):
        part("head")(wide_head)
    part("loss")(wide_head)
