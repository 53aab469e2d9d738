"""Cross-validation: `--folds=5` divides the data into folds, runs the experiment on each, and pools the predictions."""

from collections.abc import Sequence
from pathlib import Path

import fiddle as fdl

from jersey.cli.axes import point
from jersey.cli.commands import job_count, sweep_command
from jersey.compare.folds import report
from jersey.core.errors import UserError
from jersey.data.audit.copies import CopyRule
from jersey.data.label_files import Format
from jersey.data.prepare.folds import plan_folds, table_of
from jersey.data.prepare.grouping import groups_of, near_duplicates
from jersey.data.prepare.source import read_source
from jersey.data.prepare.writer import write_folds
from jersey.runs.folder import require_run_name
from jersey.sweep.plan import Assignment, run_of, short_hash
from jersey.sweep.run import run_sweep


def cross_validate(
    name: str,
    config: fdl.Buildable,
    folds: int,
    selection: Sequence[str],
    workdir: str,
    prefix: str | None,
    jobs: int | None,
) -> int:
    """Runs the experiment on every fold, prints the pooled accuracy, and returns the exit code.

    The folds are links to the crops in `<prefix>.folds` beside the runs, where the pooled predictions are too. They are
    made once; a later call with the same name continues with them.

    Args:
        name: name of the experiment.
        config: config of the runs, which differ in `data.root`.
        folds: number of folds, at least 2.
        selection: words of the command that selects and changes the config.
        workdir: folder of all runs.
        prefix: start of the names of the run folders; None for one that depends on the data folder.
        jobs: number of concurrent runs; None for one on each GPU.

    Raises:
        UserError: the data cannot be divided, an earlier call made another number of folds, or a folder contains a run
            of another config.
    """
    command = sweep_command(selection, flag="folds")
    data = fdl.build(config.data)(seed=config.seed)
    data.prepare_data()
    root = data.root.absolute()
    if prefix is not None:
        require_run_name(prefix)
    prefix = prefix or f"folds-{short_hash(f'{root} {folds}')}"
    parent = Path(workdir, name).absolute()
    out = parent / f"{prefix}.folds"
    if out.exists():
        require_folds(out, folds)
    else:
        write(root, out, folds, data_format=data.format, seed=config.seed)
    runs = []
    for fold in range(folds):
        values = [("root", str(out / f"fold_{fold}")), *([("format", None)] if data.format else [])]
        assignments = tuple(Assignment(f"data.{each}", each, repr(value)) for each, value in values)
        runs.append(run_of(point(config, assignments), command=command, folder=parent / f"{prefix}-fold_{fold}"))
    return run_sweep(runs, jobs=job_count(jobs), tables=lambda finished: report([run.folder for run in finished], out))


def require_folds(out: Path, folds: int) -> None:
    """Raises a UserError unless the folder of an earlier call has this number of folds."""
    found = len(list(out.glob("fold_*")))
    if found != folds:
        raise UserError(f"{out} has {found} folds; use --folds={found}, or choose another --run")


def write(root: Path, out: Path, folds: int, *, data_format: Format | None, seed: int) -> None:
    """Divides a data set into folds, prints their sizes, and writes them as links to its crops."""
    source = read_source(root, data_format=data_format)
    group_N = groups_of(source, near_duplicates(source, margin=0.0, rule=CopyRule()), None)
    plans = plan_folds(source, group_N, folds, seed=seed)
    print(table_of(plans), flush=True)
    write_folds(plans, out, layout="jsonl", link=True, margin=0.0)
