"""Kills, counted and compared: of a real small run, and of files that differ on purpose."""

from collections.abc import Callable
from pathlib import Path

import fiddle as fdl
import pytest
import torch
from robustness import crash_resume as kills
from robustness.crash_resume import KINDS, differences, measure, same

import experiments  # noqa: F401  # its import registers them
from jersey import config as configs
from jersey.cli.commands import config_files


@pytest.fixture
def folder(tmp_path: Path, shrink: Callable[[fdl.Buildable], None]) -> Path:
    config = configs.get_experiment("resnet18_small")()
    shrink(config)
    for name, text in config_files("resnet18_small", config).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_kill_of_each_kind_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[list[str]] = []

    def watched(left: Path, right: Path) -> list[str]:
        unchanged = differences(left, right)
        (left / "sampler.csv").write_text("")
        last = left / "checkpoints" / "last.ckpt"
        content = torch.load(last, weights_only=True)
        next(iter(content["state_dict"].values())).add_(1.0)  # in place: a flattened channels-last weight is a copy
        torch.save(content, last.with_name("changed.ckpt"))
        last.with_name("changed.ckpt").replace(last)  # `best.ckpt` may be the same file
        found.append(differences(left, right))
        return unchanged

    monkeypatch.setattr(kills, "differences", watched)
    rows = measure(folder, ["measure=False"], kills=len(KINDS), seed=1)
    assert [kind for kind, _, _ in rows] == list(KINDS)
    assert any(was_killed for _, was_killed, _ in rows)
    assert [different for _, _, different in rows] == [[]] * len(KINDS)
    assert found == [["sampler.csv", "checkpoints/last.ckpt: state_dict"]] * len(KINDS)


def test_equal_is_bit_for_bit() -> None:
    tensor = torch.tensor([1.0, 2.0])
    assert same({"a": [tensor, 1, None]}, {"a": [tensor.clone(), 1, None]})
    assert not same({"a": tensor}, {"a": tensor.double()})
    assert not same({"a": tensor}, {"a": torch.nextafter(tensor, tensor + 1)})
    assert not same({"a": 1}, {"b": 1})
    assert not same([1, 2], [1])
