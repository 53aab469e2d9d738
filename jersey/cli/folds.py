"""Cross-validation: `--folds=5` divides the data into folds, runs the experiment on each, and pools the predictions."""

from collections.abc import Sequence
from pathlib import Path

import fiddle as fdl

from jersey.cli.axes import point
from jersey.cli.commands import job_count, sweep_command
from jersey.compare.average import export_average
from jersey.compare.folds import report
from jersey.core.errors import UserError
from jersey.data.audit.copies import CopyRule
from jersey.data.prepare.boxes import Source
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

    The folds are links to the crops, in a folder `*.folds` beside the runs, where the pooled predictions and the
    average of the networks are, too. They are made once for the same crops, labels, number of folds and seed, of which
    the names have a hash.

    Args:
        name: name of the experiment.
        config: config of the runs, which differ in `data.root`.
        folds: number of folds, at least 2.
        selection: words of the command that selects and changes the config.
        workdir: folder of all runs.
        prefix: start of the names of the run folders; None for `folds`.
        jobs: number of concurrent runs; None for one on each GPU.

    Raises:
        UserError: the data cannot be divided, the config refuses links, or a folder contains a run of another config.
    """
    command = sweep_command(selection, flag="folds")
    data = fdl.build(config.data)(seed=config.seed)
    if data.outside_links == "error":
        raise UserError("--folds makes links to the crops, and data.outside_links=error refuses them; leave one out")
    data.prepare_data()
    if prefix is not None:
        require_run_name(prefix)
    source = read_source(data.root, data_format=data.format)
    study = f"{prefix or 'folds'}-{short_hash(repr((source.crops, folds, config.seed)))}"
    parent = Path(workdir, name).absolute()
    out = parent / f"{study}.folds"
    if not out.exists():
        write(source, out, folds, seed=config.seed)
    runs = []
    for fold in range(folds):
        values = [("root", str(out / f"fold_{fold}")), *([("format", None)] if data.format else [])]
        assignments = tuple(Assignment(f"data.{each}", each, repr(value)) for each, value in values)
        runs.append(run_of(point(config, assignments), command=command, folder=parent / f"{study}-fold_{fold}"))
    folders = [run.folder for run in runs]
    return run_sweep(
        runs, jobs=job_count(jobs), tables=lambda _: f"{report(folders, out)}{export_average(folders, out)}\n"
    )


def write(source: Source, out: Path, folds: int, *, seed: int) -> None:
    """Divides crops into folds, prints their sizes, and writes them as links."""
    group_N = groups_of(source, near_duplicates(source, margin=0.0, rule=CopyRule()), None)
    plans = plan_folds(source, group_N, folds, seed=seed)
    print(table_of(plans), flush=True)
    write_folds(plans, out, layout="jsonl", link=True, margin=0.0)
