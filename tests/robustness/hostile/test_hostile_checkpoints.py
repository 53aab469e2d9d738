"""A real run refuses a checkpoint or weights file whose pickle would run code, without unpickling it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import payload

Launch = Callable[..., subprocess.CompletedProcess[str]]


def error_line(result: subprocess.CompletedProcess[str]) -> str:
    """Returns the one line of a user error."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    return last


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
    """The checkpoint of an unfinished run, or the weights, come from a stranger."""
    folder = tmp_path / "runs" / "resnet18_baseline" / "one"
    file = tmp_path / "stranger.pth" if place == "weights" else folder / "checkpoints" / place
    weights = file if place == "weights" else None
    flags = (*FLAGS, f"--fdl_set=root={crops_root}", f"--fdl_set=weights={weights}")
    if place != "weights":
        config = launch(*flags, "--print_config").stdout
        file.parent.mkdir(parents=True)
        (folder / "config.txt").write_text(config, encoding="utf-8")
        # In the second case training is over, so only the best checkpoint is loaded.
        status = '{"stage": "fit"}' if place == "last.ckpt" else '{"stage": "test", "epochs": 0}'
        (folder / "status.json").write_text(status, encoding="utf-8")
    file.write_bytes(payload.CHECKPOINTS["torch's file"])
    assert file.name in error_line(launch(*flags))
    assert not payload.MARKER.exists()
