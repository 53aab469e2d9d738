"""A toolkit for config graphs of Fiddle: named experiments, overrides by path, prints, differences, files.

It knows nothing of what is configured. These names are what those who use configs need; `build` is Fiddle's,
so that they need not import Fiddle themselves. What reads files of others stands in `saved` alone.
"""

from fiddle import build

from jersey.config.overrides import apply_fiddler, apply_override
from jersey.config.python_code import as_python
from jersey.config.registry import experiment, experiment_names, fiddler, fiddler_names, get_experiment, get_fiddler
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
    "to_json",
]
