"""The benches of an epoch and of a start do the run that they are given, and time everything that they name."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import fiddle as fdl
import pytest

import experiments  # noqa: F401  # its import registers them
from jersey import config as configs
from jersey.bench import epoch, first_step
from jersey.cli.commands import config_files
from jersey.lint.checks import load

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
ROUNDS, BATCHES = 2, 2


@pytest.fixture
def folder(tmp_path: Path, shrink: Callable[[fdl.Buildable], None]) -> Path:
    """As a run leaves it, as far as its config goes."""
    config = configs.get_experiment("resnet18_small")()
    shrink(config)
    for name, text in config_files("resnet18_small", config).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_every_round_of_every_candidate_is_timed(folder: Path) -> None:
    changes = ["batch_size=8", "size_px=(24, 24)"]
    measured = epoch.measure(folder, changes, rounds=ROUNDS, batches=BATCHES)
    training_s, epoch_s = measured.training_s, measured.epoch_s
    assert measured.crops == 8 * BATCHES
    timm = {"timm"} if find_spec("timm") else set()
    assert set(training_s) == set(epoch_s) == {"jersey", "bare step", "torchvision"} | timm
    for name, seconds in training_s.items():
        assert len(seconds) == ROUNDS
        assert all(0 < trained < whole for trained, whole in zip(seconds, epoch_s[name], strict=True))


def test_a_later_start_decodes_nothing(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, config = load(folder)
    config.data.cache = str(tmp_path / "cache")
    (folder / "config.json").write_text(configs.to_json(config, name), encoding="utf-8")
    shown = []
    for start in range(2):
        assert first_step.start(folder, tmp_path / "runs", f"start-{start}") > 0
        shown.append(capsys.readouterr().err)
    assert len(list((tmp_path / "cache").glob("train-*[0-9a-f].npy"))) == 1
    assert not list((tmp_path / "runs").rglob("model.onnx"))
