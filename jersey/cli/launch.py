"""The command `jersey`, which `launch.py` of the repository also runs; each flag is tagged with its purpose."""

import functools
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

try:
    from absl import app, flags
except ModuleNotFoundError:
    print('error: jersey needs the packages for training; run pip install "jersey[train]"', file=sys.stderr)
    sys.exit(2)

from jersey.cli.listing import listing
from jersey.core.distributed import end_with_parent
from jersey.core.errors import UserError, exit_on_user_error
from jersey.core.packages import entry_points, import_modules

IMPORTS = flags.DEFINE_multi_string("import", [], "[select] module with experiments, e.g. --import=myteam.exps")
EXP = flags.DEFINE_string("exp", None, "[select] name of an experiment, e.g. --exp=quickstart")
CONFIG = flags.DEFINE_string("config", None, "[select] run folder or config.json, e.g. --config=runs/quickstart/RUN")
FIDDLERS = flags.DEFINE_multi_string("fiddler", [], "[change] named change, before --fdl_set, e.g. --fiddler=smoke")
OVERRIDES = flags.DEFINE_multi_string("fdl_set", [], "[change] value, by a unique path ending, e.g. --fdl_set=lr=1e-4")
LIST = flags.DEFINE_bool("list", False, "[show] experiments, fiddlers and parts, e.g. --list")
PRINT_CONFIG = flags.DEFINE_bool("print_config", False, "[show] changed config, e.g. --exp=quickstart --print_config")
DIFF = flags.DEFINE_string("diff", None, "[show] changes from an experiment or run, e.g. --diff=quickstart")
FORMAT = flags.DEFINE_enum("diff_format", "text", ["text", "markdown"], "[show] style, e.g. --diff_format=markdown")
DIFF_EFFECTS = flags.DEFINE_bool("diff_effects", False, "[show] compare effects too, e.g. --diff=RUN --diff_effects")
SWEEP = flags.DEFINE_multi_string("sweep", [], "[sweep] one run per combination, e.g. --sweep=lr=1e-4,3e-4")
COMMANDS = flags.DEFINE_bool("sweep_commands", False, "[sweep] print the commands, start none, e.g. --sweep_commands")
SEARCH = flags.DEFINE_multi_string("search", [], "[search] range or choices, e.g. --search='lr=log(1e-5,1e-2)'")
TRIALS = flags.DEFINE_integer("trials", None, "[search] number of trials, e.g. --trials=40", lower_bound=1)
STUDY = flags.DEFINE_string("study", None, "[search] database for the trials, e.g. --study=sqlite:////shared/study.db")
FOLDS = flags.DEFINE_integer("folds", None, "[sweep] cross-validation, one run per fold, e.g. --folds=5", lower_bound=2)
JOBS = flags.DEFINE_string("jobs", "1", "[sweep] concurrent runs, auto for one on each GPU, e.g. --jobs=auto")
RUN = flags.DEFINE_string("run", None, "[run] name of the run folder; repeat it to resume the run, e.g. --run=first")
WORKDIR = flags.DEFINE_string("workdir", "runs", "[run] folder of all runs and of Aim, e.g. --workdir=/data/runs")

RECIPES = "jersey.recipes"


def launch(*modules: str) -> None:
    """Runs the command with the flags of this process, and exits with its code.

    Args:
        *modules: modules whose experiments are known beside those of jersey, of entry points and of `--import`.
    """
    end_with_parent()
    for flag in flags.FLAGS.get_flags_for_module(__name__):  # `--help` shows those of the program that was started
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    with exit_on_user_error():
        app.run(functools.partial(_main, modules), flags_parser=_parse_flags)


def _main(modules: Sequence[str], argv: list[str]) -> int:
    """Selects and changes a config, then shows, compares, sweeps, searches or runs it; returns the exit code."""
    if IMPORTS.value:
        sys.path.append(str(Path.cwd()))  # as for `python -m`, but installed packages take precedence
    names = list(dict.fromkeys((RECIPES, *modules, *entry_points(), *IMPORTS.value)))
    if LIST.value:
        print(listing(names), end="")
        return 0
    _check_combination()
    from jersey.cli.flag_texts import check_flags  # imports Fiddle, which --list does not need

    # Other packages may register in ways that their sources do not show.
    readable = None if IMPORTS.value or entry_points() else names
    selected, axes = (EXP.value, CONFIG.value, FIDDLERS.value, OVERRIDES.value), (SWEEP.value, SEARCH.value)
    check_flags(argv[1:], readable, *selected, DIFF.value, *axes, RUN.value)
    from jersey.cli import commands  # imports torch, which takes seconds and which the errors above do not need

    import_modules(names)
    name, config = commands.select(*selected)
    if PRINT_CONFIG.value:
        commands.show(config)
        return 0
    if DIFF.value is not None:
        style: Literal["text", "markdown"] = "markdown" if FORMAT.value == "markdown" else "text"
        return commands.diff(name, config, DIFF.value, style=style, simulate=DIFF_EFFECTS.value)
    jobs = None if JOBS.value == "auto" else int(JOBS.value)
    if SEARCH.value:
        trials, where = int(TRIALS.value or 0), (WORKDIR.value, RUN.value)
        return commands.search(name, config, SEARCH.value, _selection(), *where, jobs, trials, STUDY.value)
    if FOLDS.value:
        from jersey.cli.folds import cross_validate

        return cross_validate(name, config, FOLDS.value, _selection(), WORKDIR.value, RUN.value, jobs)
    if SWEEP.value:
        where = WORKDIR.value, RUN.value
        return commands.sweep(name, config, SWEEP.value, _selection(), *where, jobs, COMMANDS.value)
    commands.run(name, config, WORKDIR.value, RUN.value)
    return 0


def _check_combination() -> None:
    """Raises UserError if a flag has no effect without another, or two flags exclude each other."""
    actions = [f"--{flag.name}" for flag in (PRINT_CONFIG, DIFF, SWEEP, SEARCH, FOLDS) if flag.value]
    if len(actions) > 1:
        raise UserError(f"{' and '.join(actions)} do different things; use one of them")
    needs = (
        *((DIFF_EFFECTS, [DIFF]), (FORMAT, [DIFF]), (COMMANDS, [SWEEP]), (TRIALS, [SEARCH]), (STUDY, [SEARCH])),
        (JOBS, [SWEEP, SEARCH, FOLDS]),
    )
    for flag, others in needs:
        if flag.present and not any(other.present for other in others):
            names = " or ".join(f"--{other.name}" for other in others)
            raise UserError(f"--{flag.name} has no effect without {names}")
    if SEARCH.present and not TRIALS.present:
        raise UserError("--search needs --trials; write for example --trials=40")
    if JOBS.value != "auto" and not re.fullmatch("[1-9][0-9]*", JOBS.value):
        raise UserError(f"--jobs={JOBS.value} must be auto or a number from 1")


def _selection() -> list[str]:
    """Returns the flags that select and change the config, and the work folder, as words of a command."""
    once = [(flag.name, flag.value) for flag in (EXP, CONFIG, WORKDIR) if flag.value is not None]
    repeated = [(flag.name, each) for flag in (IMPORTS, FIDDLERS, OVERRIDES) for each in flag.value]
    return [f"--{name}={value}" for name, value in (*once, *repeated)]


def _parse_flags(argv: list[str]) -> list[str]:
    """Parses the flags with absl, `--fdl.a.b=1` as `--fdl_set=a.b=1`, and turns absl's errors into user errors."""
    try:
        return flags.FLAGS([re.sub(r"^--?fdl\.", "--fdl_set=", argument) for argument in argv])
    except flags.Error as error:
        raise UserError(f"{error}; see --help") from None
