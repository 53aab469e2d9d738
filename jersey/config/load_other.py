"""What a run keeps of its config: for people, for `--config`, as code, and as a difference."""

from __future__ import annotations

import fiddle as fdl

from jersey.config import registry
from jersey.config.diff import difference
from jersey.config.saved import as_python, to_json
from jersey.config.show import as_text


def documents(name: str, config: fdl.Buildable) -> dict[str, str]:
    """Texts by file name; without a difference when the experiment is not registered here."""
    texts = {
        "config.txt": as_text(config),
        "config.json": to_json(config, name),
        "config.py": as_python(config, name),
    }
    if name in registry.experiment_names():
        names = ("registered", "this run")
        texts["config_diff.txt"] = difference(registry.get_experiment(name)(), config, names=names)
    return texts
