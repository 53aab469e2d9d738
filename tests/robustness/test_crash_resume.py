"""Kills of a small real run change nothing, and planted differences are found."""

import signal
from pathlib import Path

import helpers.registered  # noqa: F401  # its import registers the experiments
import pytest
import torch
from robustness import crash_resume
from robustness.crash_resume import KINDS, differences, measure, same


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_of_all_kinds_change_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[list[str]] = []

    def watched(left: Path, right: Path) -> list[str]:
        unchanged = differences(left, right)
        (left / "class_sampling.csv").write_text("")
        last = left / "checkpoints" / "last.ckpt"
        content = torch.load(last, weights_only=True)
        next(iter(content["state_dict"].values())).add_(1.0)  # in place: a flattened channels-last weight is a copy
        torch.save(content, last.with_name("changed.ckpt"))
        last.with_name("changed.ckpt").replace(last)  # `best.ckpt` may be the same file
        found.append(differences(left, right))
        return unchanged

    monkeypatch.setattr(crash_resume, "differences", watched)
    ((met, different),) = measure(folder, ["profile=False"], runs=1, seed=1)
    assert len(met) >= len(KINDS) - 1  # a kill at any moment may come too late
    assert different == []
    assert found == [["class_sampling.csv", "checkpoints/last.ckpt: state_dict"]]


@pytest.mark.gpu
def test_kill_on_a_gpu_changes_nothing_in_a_deterministic_run(folder: Path, tmp_path: Path) -> None:
    changes = ["trainer.accelerator=gpu", "trainer.deterministic=True", "profile=False"]
    arguments = (folder, changes, tmp_path)
    crash_resume.finish((*arguments, "whole"))
    assert crash_resume.exit_code((*arguments, "killed", "while a checkpoint is written", 2)) == -signal.SIGKILL
    crash_resume.finish((*arguments, "killed"))
    assert differences(tmp_path / "resnet18_small" / "killed", tmp_path / "resnet18_small" / "whole") == []


def test_equality_is_bit_for_bit() -> None:
    tensor = torch.tensor([1.0, 2.0])
    assert same({"a": [tensor, 1, None]}, {"a": [tensor.clone(), 1, None]})
    assert not same({"a": tensor}, {"a": tensor.double()})
    assert not same({"a": tensor}, {"a": torch.nextafter(tensor, tensor + 1)})
    assert not same({"a": 1}, {"b": 1})
    assert not same([1, 2], [1])
