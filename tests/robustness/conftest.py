"""What the tests of interrupted runs share."""

from collections.abc import Callable
from pathlib import Path

import fiddle as fdl
import pytest
from helpers.launched import PICTURES
from helpers.run_folders import config_folder

from jersey import config as configs


@pytest.fixture
def folder(tmp_path: Path, shrink: Callable[[fdl.Buildable], None]) -> Path:
    """Returns the folder of a run without figures."""
    config = configs.get_experiment("resnet18_small")()
    shrink(config)
    config.data.size_px = (24, 24)
    for name in PICTURES:
        setattr(config.trainer.callbacks, name, None)
    return config_folder(config, "resnet18_small", tmp_path)
