"""A checkpoint or a file of weights that runs code when unpickled is not unpickled, and refused in a sentence."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import payload
from helpers.small_run import small_data, small_module

from jersey.core.errors import UserError
from jersey.experiment import load_scored_weights

Launch = Callable[..., subprocess.CompletedProcess[str]]


def refusal(result: subprocess.CompletedProcess[str]) -> str:
    """The one line of a user error."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    return last


@pytest.mark.parametrize("kind", payload.CHECKPOINTS)
def test_best_weights_are_loaded_without_unpickling(kind: str, crops_root: Path, tmp_path: Path) -> None:
    file = tmp_path / "best.ckpt"
    file.write_bytes(payload.CHECKPOINTS[kind](tmp_path / "ran"))
    module = small_module(small_data(crops_root))
    with pytest.raises(UserError, match=r"best\.ckpt cannot be used") as caught:
        load_scored_weights(module, file)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


NO_CHECKPOINTS = {
    "nothing": {},
    "a list": [1, 2],
    "no labels": {"state_dict": {}, "epoch": 0, "jersey": {}},
    "a word for the epoch": {"state_dict": {}, "epoch": "x", "jersey": {"labels": ["0", "00", "01"]}},
    "other weights": {"state_dict": {"a": torch.ones(1)}, "epoch": 0, "jersey": {"labels": ["0", "00", "01"]}},
    "numbers for labels": {"state_dict": {}, "epoch": 0, "jersey": {"labels": [0, 1]}},
}


@pytest.mark.parametrize("kind", NO_CHECKPOINTS)
def test_a_file_of_torch_that_is_no_checkpoint_is_one_sentence(kind: str, crops_root: Path, tmp_path: Path) -> None:
    torch.save(NO_CHECKPOINTS[kind], tmp_path / "best.ckpt")
    with pytest.raises(UserError) as caught:
        load_scored_weights(small_module(small_data(crops_root)), tmp_path / "best.ckpt")
    assert str(caught.value).isprintable()


FLAGS = (
    "--exp=resnet18_baseline",
    "--run=one",
    "--fiddler=cpu",
    "--fdl_set=data.size_px=(32,32)",
    "--fdl_set=batch_size=16",
    "--fdl_set=epochs=1",
)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["last.ckpt", "best.ckpt", "weights"])
def test_a_run_refuses_it_with_one_sentence(place: str, launch: Launch, crops_root: Path, tmp_path: Path) -> None:
    """An unfinished run whose checkpoint somebody else has written; and weights from a stranger."""
    marker, folder = tmp_path / "ran", tmp_path / "runs" / "resnet18_baseline" / "one"
    file = tmp_path / "stranger.pth" if place == "weights" else folder / "checkpoints" / place
    weights = file if place == "weights" else None
    flags = (*FLAGS, f"--fdl_set=root={crops_root}", f"--fdl_set=weights={weights}")
    if place != "weights":
        config = launch(*flags, "--print_config").stdout
        file.parent.mkdir(parents=True)
        (folder / "config.txt").write_text(config, encoding="utf-8")
        # Training is over in the second, so nothing but the best checkpoint is looked at.
        status = '{"stage": "fit"}' if place == "last.ckpt" else '{"stage": "test", "epochs": 0}'
        (folder / "status.json").write_text(status, encoding="utf-8")
    file.write_bytes(payload.CHECKPOINTS["torch's file"](marker))
    assert file.name in refusal(launch(*flags))
    assert not marker.exists()
