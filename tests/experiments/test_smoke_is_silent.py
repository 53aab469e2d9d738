"""The fiddler `smoke` causes no warning of its own in any experiment."""

from pathlib import Path

import fiddle as fdl
import pytest
from helpers.registered import EXPERIMENTS

from jersey import config as configs
from jersey.data.index import read_splits
from jersey.lint.no_effect import findings
from jersey.lint.simulate import effects


def warnings_of(config: fdl.Buildable, root: Path) -> set[str]:
    config.data.root = str(root)
    return set(map(str, findings(effects(config, read_splits(root)))))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_smoke_adds_no_warning(crops_root: Path, name: str) -> None:
    plain, smoke = (configs.get_experiment(name)() for _ in range(2))
    plain.data.batch_size = 8
    configs.apply_fiddler(smoke, "smoke")
    assert warnings_of(smoke, crops_root) - warnings_of(plain, crops_root) == set()
