"""A toolkit for Fiddle config graphs: named experiments, overrides by path, prints, diffs, files.

It is independent of what is configured. `build` is Fiddle's, re-exported so that callers need not import Fiddle.
Only `jersey.config.saved` reads files that somebody else may have written.
"""

from fiddle import build

from jersey.config.overrides import apply_fiddler, apply_override
from jersey.config.python_code import as_python
from jersey.config.registry import (
    experiment,
    experiment_names,
    fiddler,
    fiddler_names,
    get_experiment,
    get_fiddler,
    part,
)
from jersey.config.saved import to_json
from jersey.config.show import as_text, diff, flatten

__all__ = [
    "apply_fiddler",
    "apply_override",
    "as_python",
    "as_text",
    "build",
    "diff",
    "experiment",
    "experiment_names",
    "fiddler",
    "fiddler_names",
    "flatten",
    "get_experiment",
    "get_fiddler",
    "part",
    "to_json",
]
