"""Trains an experiment: `python launch.py --exp=quickstart`. Start with `--list`; the README says the rest."""

import sys
from pathlib import Path

from absl import app, flags

from jersey.errors import UserError

EXP = flags.DEFINE_string("exp", None, "name of the experiment, see --list")
LIST = flags.DEFINE_bool("list", False, "print the experiments and fiddlers")
PRINT_CONFIG = flags.DEFINE_bool("print_config", False, "print the config after all changes, do not run it")
FIDDLERS = flags.DEFINE_multi_string(
    "fiddler", [], "name or name(argument=value) of a change; applied before --fdl_set"
)
OVERRIDES = flags.DEFINE_multi_string("fdl_set", [], "path=value, such as lr=1e-4; any unique ending of a path will do")
RUN = flags.DEFINE_string("run", None, "name of the run's folder; the same command again continues it")
WORKDIR = flags.DEFINE_string("workdir", "runs", "folder of all runs and of the Aim repository")


def main(_: list[str]) -> None:
    """Get, mutate, check, then show or run."""
    import fiddle as fdl

    import experiments  # noqa: F401  # its import registers them
    from jersey import config as configs
    from jersey.console import set_up_console
    from jersey.run_folder import open_run

    set_up_console()
    if LIST.value:
        for kind, names, summary in (
            ("experiments", configs.experiment_names(), configs.experiment_summary),
            ("fiddlers", configs.fiddler_names(), configs.fiddler_summary),
        ):
            print(kind, *(f"  {name:<24}{summary(name)}" for name in names), sep="\n")
        return
    if EXP.value is None:
        raise UserError(f"--exp is missing; choose one of {', '.join(configs.experiment_names())}")
    config = configs.get_experiment(EXP.value)()
    for call in FIDDLERS.value:
        configs.apply_fiddler(config, call)
    for override in OVERRIDES.value:
        configs.apply_override(config, override)
    configs.check(config)
    text = configs.as_text(config)
    if PRINT_CONFIG.value:
        print(text, end="")
        return
    workdir = Path(WORKDIR.value)
    folder = open_run(workdir, EXP.value, RUN.value, config_text=text, config_json=configs.to_json(config))
    fdl.build(config).run(folder, aim_repo=workdir / ".aim", flat_config=configs.flatten(config))


def parse_flags(argv: list[str]) -> list[str]:
    """Flags as absl reads them; its complaints become the user errors they are."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        raise UserError(f"{error}; see --help") from None


if __name__ == "__main__":
    try:
        app.run(main, flags_parser=parse_flags)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
