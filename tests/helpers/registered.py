"""The experiments and fiddlers of `experiments/`, without those that tests register in the same process."""

from collections.abc import Callable

import experiments  # noqa: F401  # its import registers them
from jersey import config as configs


def _is_ours(function: Callable[..., object]) -> bool:
    return function.__module__.startswith("experiments.")


EXPERIMENTS = [name for name in configs.experiment_names() if _is_ours(configs.get_experiment(name))]
FIDDLERS = [name for name in configs.fiddler_names() if _is_ours(configs.get_fiddler(name))]
