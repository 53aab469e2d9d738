"""The benchmarks of epochs and starts repeat their run and time all of their candidates."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import fiddle as fdl
import helpers.registered  # noqa: F401  # its import registers the experiments
import pytest
import torch
from helpers.run_folders import config_folder

from jersey import config as configs
from jersey.bench import epoch, startup
from jersey.bench.gpu_load import Load
from jersey.lint.checks import load

ROUNDS, BATCHES = 2, 2


@pytest.fixture
def folder(tmp_path: Path, shrink: Callable[[fdl.Buildable], None]) -> Path:
    config = configs.get_experiment("resnet18_small")()
    shrink(config)
    return config_folder(config, "resnet18_small", tmp_path)


@pytest.mark.slow
def test_every_round_of_every_candidate_is_timed(folder: Path) -> None:
    changes = ["batch_size=8", "size_px=(24, 24)"]
    measured = epoch.measure(folder, changes, rounds=ROUNDS, batches=BATCHES)
    training_s, epoch_s = measured.times_s["training"], measured.times_s["epoch"]
    assert measured.crops == 8 * BATCHES
    timm = {"timm"} if find_spec("timm") else set()
    assert set(training_s) == set(epoch_s) == {"jersey", "bare step", "torchvision"} | timm
    for name, seconds in training_s.items():
        assert len(seconds) == ROUNDS
        assert all(0 < trained < whole for trained, whole in zip(seconds, epoch_s[name], strict=True))


@pytest.mark.slow
def test_a_second_start_decodes_no_crops(folder: Path, tmp_path: Path) -> None:
    name, config = load(folder)
    config.data.cache = str(tmp_path / "cache")
    (folder / "config.json").write_text(configs.to_json(config, name), encoding="utf-8")
    for start in range(2):
        assert startup.first_step_s(folder, tmp_path / "runs", f"start-{start}") > 0
    assert len(list((tmp_path / "cache").glob("train-*[0-9a-f].npy"))) == 1
    assert not list((tmp_path / "runs").rglob("model.onnx"))


TIMES_S = {"bare step": [1.0, 2.0], "jersey": [2.0, 4.0], "torchvision": [6.0, 12.0]}


def test_speeds_are_ratios_of_training_times_of_the_same_round() -> None:
    slower = {name: [2 * value for value in values] for name, values in TIMES_S.items()}
    times_s = {"training": TIMES_S, "epoch": slower}
    row = epoch.row(epoch.EpochTimes(times_s=times_s, crops=300, load=Load(0.9876, 512.6), gpu_gb=None))
    assert row == {
        "crops/s": 100,
        "x bare step": "0.500 (0.500 to 0.500)",
        "x torchvision": "3.000 (3.000 to 3.000)",
        "x timm": None,
        "busy": 0.988,
        "W": 513,
        "GB": None,
    }
    header, line = epoch.grid([{"changes": ["size_px=(64, 64)"], **row}]).splitlines()
    assert header.split()[-3:] == ["busy", "W", "GB"]
    assert line.split()[2:4] == ["100", "0.500"]
    assert line.split()[-4:] == ["-", "0.988", "513", "-"]


def test_combinations_that_do_not_fit_are_left_out_and_rows_are_also_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(_: Path, changes: list[str], **settings: int) -> epoch.EpochTimes:
        if changes == ["lr=1", "data.batch_size=1024", "data.size_px=(64, 64)"]:
            raise torch.OutOfMemoryError
        return epoch.EpochTimes(
            times_s={"training": TIMES_S, "epoch": TIMES_S}, crops=300, load=Load(None, None), gpu_gb=None
        )

    monkeypatch.setattr(epoch, "measure", measure)
    rows = epoch.bench(tmp_path, ["lr=1"], px=(32, 64), batch_sizes=(256, 1024))["rows"]
    assert [row["changes"] for row in rows] == [
        ["data.batch_size=256", "data.size_px=(32, 32)"],
        ["data.batch_size=256", "data.size_px=(64, 64)"],
        ["data.batch_size=1024", "data.size_px=(32, 32)"],
    ]
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    *measured, skipped = printed
    assert measured == rows
    assert "out of memory" in skipped["error"]
    with pytest.raises(torch.OutOfMemoryError):  # of a single combination
        epoch.bench(tmp_path, ["lr=1"], px=(64,), batch_sizes=(1024,))
