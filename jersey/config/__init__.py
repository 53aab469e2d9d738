"""All handling of config graphs: the names of experiments, overrides, prints and checks. The one home of Fiddle."""

from fiddle import build

from jersey.config.diff import difference, find
from jersey.config.load_other import documents
from jersey.config.overrides import apply_fiddler, apply_override
from jersey.config.registry import (
    experiment,
    experiment_names,
    fiddler,
    fiddler_names,
    get_experiment,
    get_fiddler,
)
from jersey.config.saved import as_python, from_json, load, to_json
from jersey.config.show import as_text, flatten
from jersey.lint.checks import check

__all__ = [
    "apply_fiddler",
    "apply_override",
    "as_python",
    "as_text",
    "build",
    "check",
    "difference",
    "documents",
    "experiment",
    "experiment_names",
    "fiddler",
    "fiddler_names",
    "find",
    "flatten",
    "from_json",
    "get_experiment",
    "get_fiddler",
    "load",
    "to_json",
]
