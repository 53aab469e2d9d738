"""Trains an experiment: `python launch.py --exp=quickstart`. Start with `--list`; the README says the rest."""

from pathlib import Path

from absl import app, flags

from jersey.errors import UserError, exit_on_user_error

EXP = flags.DEFINE_string("exp", None, "name of the experiment, see --list")
LIST = flags.DEFINE_bool("list", False, "print the experiments and fiddlers")
PRINT_CONFIG = flags.DEFINE_bool("print_config", False, "print the config after all changes, do not run it")
FIDDLERS = flags.DEFINE_multi_string("fiddler", [], "name or name(argument=value); applied before every --fdl_set")
OVERRIDES = flags.DEFINE_multi_string("fdl_set", [], "path=value, such as lr=1e-4; any unique ending of a path will do")
RUN = flags.DEFINE_string("run", None, "name of the run's folder; the same command again continues it")
WORKDIR = flags.DEFINE_string("workdir", "runs", "folder of all runs and of the Aim repository")


def main(argv: list[str]) -> None:
    """Get, mutate, check, then show or run."""
    import experiments  # noqa: F401  # its import registers them
    from jersey import config as configs
    from jersey.console import set_up_console
    from jersey.run_folder import open_run

    set_up_console()
    if LIST.value:
        print(configs.listing(), end="")
        return
    if len(argv) > 1:
        raise UserError(f"{argv[1]!r} is not a flag; write --name=value, see --help")
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
    configs.build(config).run(folder, aim_repo=workdir / ".aim", flat_config=configs.flatten(config))


def parse_flags(argv: list[str]) -> list[str]:
    """Flags as absl reads them; its complaints become the user errors they are."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        raise UserError(f"{error}; see --help") from None


if __name__ == "__main__":
    with exit_on_user_error():
        app.run(main, flags_parser=parse_flags)
