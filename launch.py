"""Trains an experiment, such as `python launch.py --exp=quickstart`; each flag below is tagged with its purpose."""

import re
from pathlib import Path

from absl import app, flags

from jersey.cli.listing import listing
from jersey.core.errors import UserError, exit_on_user_error

EXP = flags.DEFINE_string("exp", None, "[select] name of an experiment, e.g. --exp=quickstart")
CONFIG = flags.DEFINE_string("config", None, "[select] run folder or config.json, e.g. --config=runs/quickstart/RUN")
FIDDLERS = flags.DEFINE_multi_string("fiddler", [], "[change] named change, before --fdl_set, e.g. --fiddler=smoke")
OVERRIDES = flags.DEFINE_multi_string("fdl_set", [], "[change] value, by a unique path ending, e.g. --fdl_set=lr=1e-4")
LIST = flags.DEFINE_bool("list", False, "[show] experiments and fiddlers, e.g. launch.py --list")
PRINT_CONFIG = flags.DEFINE_bool("print_config", False, "[show] changed config, e.g. --exp=quickstart --print_config")
DIFF = flags.DEFINE_string("diff", None, "[show] changes from an experiment or run, e.g. --diff=quickstart")
FORMAT = flags.DEFINE_enum("diff_format", "text", ["text", "markdown"], "[show] style, e.g. --diff_format=markdown")
DIFF_EFFECTS = flags.DEFINE_bool("diff_effects", False, "[show] compare effects too, e.g. --diff=RUN --diff_effects")
SWEEP = flags.DEFINE_multi_string("sweep", [], "[sweep] one run per combination, e.g. --sweep=lr=1e-4,3e-4")
COMMANDS = flags.DEFINE_bool("sweep_commands", False, "[sweep] print the commands, start none, e.g. --sweep_commands")
SEARCH = flags.DEFINE_multi_string("search", [], "[search] range or choices, e.g. --search='lr=log(1e-5,1e-2)'")
TRIALS = flags.DEFINE_integer("trials", None, "[search] number of trials, e.g. --trials=40", lower_bound=1)
STUDY = flags.DEFINE_string("study", None, "[search] database for the trials, e.g. --study=sqlite:////shared/study.db")
JOBS = flags.DEFINE_string("jobs", "1", "[sweep] concurrent runs, auto for one on each GPU, e.g. --jobs=auto")
RUN = flags.DEFINE_string("run", None, "[run] name of the run folder; repeat it to resume the run, e.g. --run=first")
WORKDIR = flags.DEFINE_string("workdir", "runs", "[run] folder of all runs and of Aim, e.g. --workdir=/data/runs")


def main(argv: list[str]) -> int | None:
    """Selects and changes a config, then shows, compares, sweeps or runs it; returns the exit code."""
    if LIST.value:
        return print(listing(Path(__file__).with_name("experiments")), end="")
    many = SEARCH if SEARCH.present else SWEEP
    needs = ((DIFF_EFFECTS, DIFF), (FORMAT, DIFF), (COMMANDS, SWEEP), (JOBS, many), (TRIALS, SEARCH), (STUDY, SEARCH))
    for flag, other in needs:
        if flag.present and not other.present:
            raise UserError(f"--{flag.name} has no effect without --{other.name}")
    if SEARCH.present and (SWEEP.present or not TRIALS.present):
        raise UserError("--search needs --trials, and no --sweep; write for example --trials=40")
    if JOBS.value != "auto" and not re.fullmatch("[1-9][0-9]*", JOBS.value):
        raise UserError(f"--jobs={JOBS.value} must be auto or a number from 1")
    from jersey.cli.flag_texts import check_flags  # imports Fiddle, which --list does not need

    selected, axes = (EXP.value, CONFIG.value, FIDDLERS.value, OVERRIDES.value), (SWEEP.value, SEARCH.value)
    check_flags(argv[1:], Path(__file__).with_name("experiments"), *selected, DIFF.value, *axes, RUN.value)
    import experiments  # noqa: F401  # importing the package registers the experiments and fiddlers
    from jersey.cli import commands

    name, config = commands.select(*selected)
    if PRINT_CONFIG.value:
        return commands.show(config)
    if DIFF.value is not None:
        return commands.diff(name, config, DIFF.value, style=FORMAT.value, simulate=DIFF_EFFECTS.value)
    where, jobs = (WORKDIR.value, RUN.value), None if JOBS.value == "auto" else int(JOBS.value)
    if SEARCH.value:
        return commands.search(name, config, SEARCH.value, selected, *where, jobs, TRIALS.value, STUDY.value)
    if SWEEP.value:
        return commands.sweep(name, config, SWEEP.value, selected, *where, jobs, COMMANDS.value)
    return commands.run(name, config, WORKDIR.value, RUN.value)


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the flags with absl, `--fdl.a.b=1` as `--fdl_set=a.b=1`, and turns absl's errors into user errors."""
    try:
        return flags.FLAGS([re.sub(r"^--?fdl\.", "--fdl_set=", argument) for argument in argv])
    except flags.Error as error:
        raise UserError(f"{error}; see --help") from None


if __name__ == "__main__":
    exit_on_user_error()(app.run)(main, flags_parser=parse_flags)
