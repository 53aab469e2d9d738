"""The commands behind the flags: the other config of a diff, and the config files of a run."""

from pathlib import Path

import fiddle as fdl
import helpers.registered  # noqa: F401  # its import registers the experiments
import pytest
import torch
from helpers.config_targets import example

from jersey.cli.commands import config_files, diff, load_other
from jersey.config import experiment, to_json
from jersey.core.errors import UserError


@experiment
def side_by_side() -> fdl.Config:
    """An experiment for `load_other`."""
    return example()


def test_the_other_config_is_an_experiment_or_a_run_folder_or_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "side_by_side").mkdir()
    assert load_other("side_by_side") == example()
    config = fdl.Config(torch.nn.Linear, 3, 2)
    (tmp_path / "config.json").write_text(to_json(config, "some_experiment"), encoding="utf-8")
    for path in (tmp_path, tmp_path / "config.json"):
        assert load_other(str(path)) == config


@pytest.mark.parametrize("other", ["side_by_sid", "", "\0", "x" * 300, "no/such/run"])
def test_an_unknown_other_config_raises_an_error_with_what_was_tried(other: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"experiment.*run folder.*config\.json") as caught:
        load_other(other)
    assert str(caught.value).isprintable()
    assert other != "side_by_sid" or "did you mean side_by_side" in str(caught.value)
    with pytest.raises(UserError, match=r"contains no config\.json"):
        load_other(str(tmp_path))


def test_a_run_of_an_unregistered_experiment_has_no_diff() -> None:
    assert set(config_files("nobody", example())) == {"config.txt", "config.json", "config.py"}
    assert config_files("side_by_side", example())["config_diff.txt"] == ""


def test_equal_names_are_distinguished(capsys: pytest.CaptureFixture[str]) -> None:
    assert diff("side_by_side", example(seed=9), "side_by_side", style="text", simulate=False) == 1
    assert "(root)  registered  changed" in capsys.readouterr().out
    assert diff("side_by_side", example(), "side_by_side", style="text", simulate=False) == 0
