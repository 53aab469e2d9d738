"""A config's whole run, in this process: fit, test, export, report, and its Aim repository beside it."""

from pathlib import Path

import fiddle as fdl

from jersey import config as configs
from jersey.cli.commands import config_files
from jersey.runs.folder import RunFolder, open_run


def full_run(config: fdl.Buildable, experiment: str, workdir: Path, name: str = "run") -> RunFolder:
    """Does it in `workdir`, as launch.py would."""
    folder = open_run(workdir, experiment, name, documents=config_files(experiment, config))
    fdl.build(config).run(folder, aim_repo=workdir / ".aim", flat_config=configs.flatten(config))
    return folder
