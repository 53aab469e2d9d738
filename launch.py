"""Trains an experiment: `python launch.py --exp=quickstart`. Start with `--list`; the README says the rest."""

import re
from pathlib import Path

from absl import app, flags

from jersey.cli.listing import listing
from jersey.core.errors import UserError, exit_on_user_error

EXP = flags.DEFINE_string("exp", None, "name of the experiment, see --list")
CONFIG = flags.DEFINE_string("config", None, "instead of --exp: a run folder or its config.json, to do it again")
FIDDLERS = flags.DEFINE_multi_string("fiddler", [], "name or name(argument=value); applied before every --fdl_set")
OVERRIDES = flags.DEFINE_multi_string("fdl_set", [], "path=value, any unique ending of a path; or --fdl.path=value")
LIST = flags.DEFINE_bool("list", False, "print the experiments and fiddlers")
PRINT_CONFIG = flags.DEFINE_bool("print_config", False, "print the config after all changes, do not run it")
DIFF = flags.DEFINE_string("diff", None, "print what differs from this experiment, run folder or config.json")
DIFF_FORMAT = flags.DEFINE_enum("diff_format", "text", ["text", "markdown"], "how --diff prints")
DIFF_EFFECTS = flags.DEFINE_bool("diff_effects", False, "with --diff: compare what the configs do, too")
SWEEP = flags.DEFINE_multi_string("sweep", [], "path=value,value: a run for each combination of all --sweep")
PRINT_SWEEP = flags.DEFINE_bool("sweep_commands", False, "with --sweep: print a command for each run, start none")
JOBS = flags.DEFINE_integer("jobs", 1, "with --sweep: runs at a time", lower_bound=1)
RUN = flags.DEFINE_string("run", None, "name of the run's folder; the same command again continues it")
WORKDIR = flags.DEFINE_string("workdir", "runs", "folder of all runs and of the Aim repository")


def main(argv: list[str]) -> int | None:
    """Selects and changes a config, then shows, compares, sweeps or runs it; returns the exit code."""
    if LIST.value:
        return print(listing(Path(__file__).parent / "experiments"), end="")
    if len(argv) > 1:
        raise UserError(f"{argv[1]!r} is not a flag; write --name=value, see --help")
    for flag, other in ((DIFF_EFFECTS, DIFF), (DIFF_FORMAT, DIFF), (PRINT_SWEEP, SWEEP), (JOBS, SWEEP)):
        if flag.present and not other.present:
            raise UserError(f"--{flag.name} has no effect without --{other.name}")
    import experiments  # noqa: F401  # its import registers them
    from jersey.cli import commands

    name, config = commands.select(EXP.value, CONFIG.value, FIDDLERS.value, OVERRIDES.value)
    if PRINT_CONFIG.value:
        return commands.show(config)
    if DIFF.value is not None:
        return commands.diff(name, config, DIFF.value, style=DIFF_FORMAT.value, effective=DIFF_EFFECTS.value)
    if SWEEP.value:
        given = {"exp": [EXP.value], "config": [CONFIG.value], "fiddler": FIDDLERS.value, "fdl_set": OVERRIDES.value}
        return commands.sweep(name, config, SWEEP.value, given, WORKDIR.value, RUN.value, JOBS.value, PRINT_SWEEP.value)
    return commands.run(name, config, WORKDIR.value, RUN.value)


def parse_flags(argv: list[str]) -> list[str]:
    """Flags as absl reads them, `--fdl.a.b=1` as `--fdl_set=a.b=1`; its complaints become the user errors they are."""
    try:
        return flags.FLAGS([re.sub(r"^--?fdl\.", "--fdl_set=", argument) for argument in argv])
    except flags.Error as error:
        raise UserError(f"{error}; see --help") from None


if __name__ == "__main__":
    with exit_on_user_error():
        app.run(main, flags_parser=parse_flags)
