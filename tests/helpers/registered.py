"""The experiments and fiddlers of the repository, without those that tests register in the same process."""

from collections.abc import Callable

from jersey import config as configs
from jersey.core.packages import import_modules

MODULES = ("jersey.recipes", "experiments")
import_modules(MODULES)


def _is_ours(function: Callable[..., object]) -> bool:
    return function.__module__.startswith(MODULES)


EXPERIMENTS = [name for name in configs.experiment_names() if _is_ours(configs.get_experiment(name))]
FIDDLERS = [name for name in configs.fiddler_names() if _is_ours(configs.get_fiddler(name))]
