"""All handling of config graphs: the names of experiments, overrides, prints and checks. The one home of Fiddle."""

from fiddle import build

from jersey.config.checks import check
from jersey.config.overrides import apply_fiddler, apply_override
from jersey.config.registry import (
    experiment,
    experiment_names,
    experiment_summary,
    fiddler,
    fiddler_names,
    fiddler_summary,
    get_experiment,
    get_fiddler,
    listing,
)
from jersey.config.show import as_text, difference, flatten, from_json, to_json

__all__ = [
    "apply_fiddler",
    "apply_override",
    "as_text",
    "build",
    "check",
    "difference",
    "experiment",
    "experiment_names",
    "experiment_summary",
    "fiddler",
    "fiddler_names",
    "fiddler_summary",
    "flatten",
    "from_json",
    "get_experiment",
    "get_fiddler",
    "listing",
    "to_json",
]
