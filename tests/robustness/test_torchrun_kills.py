"""Kills of two processes under the real torchrun change nothing and leave nothing behind."""

from collections.abc import Callable
from pathlib import Path

import fiddle as fdl
import helpers.registered  # noqa: F401  # its import registers the experiments
import pytest
from helpers.launched import PICTURES
from helpers.run_folders import config_folder
from robustness.torchrun_kills import WRITING, measure

from jersey import config as configs


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_kill_of_torchrun_or_inside_a_checkpoint_changes_nothing(
    tmp_path: Path, shrink: Callable[[fdl.Buildable], None]
) -> None:
    config = configs.get_experiment("resnet18_small")()
    shrink(config)
    config.data.size_px, config.data.batch_size = (24, 24), 4
    config.trainer.epochs, config.trainer.limit_batches = 2, None  # 24 steps, so that one checkpoint is inside an epoch
    config.profile = False
    for name in PICTURES:
        setattr(config.trainer.callbacks, name, None)
    folder = config_folder(config, "resnet18_small", tmp_path)
    ((hits, different),) = measure(folder, (), kills=2, seed=1, kinds=("torchrun", WRITING))
    assert sorted(hit.kind for hit in hits) == [WRITING, "torchrun"]
    assert different == []
