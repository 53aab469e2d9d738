"""The root of every config, and the life of a run: read and audit the data, fit, test, export, measure, report.

Of several processes (`jersey.core.distributed`) all read the data, fit and test; rank zero does the rest.

Parts come as partials and get here what is known only at run time: the labels, the seed, the run folder. Building
a config therefore reads no data.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import Logger

from jersey.core.atomic import write_text
from jersey.core.distributed import rank, rank_zero_first, wait_for_all, world_size
from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.data.audit import Audit, fast_audit
from jersey.data.bad_images import counted
from jersey.data.datamodule import JerseyDataModule
from jersey.data.index import Split
from jersey.data.sampler import Balance, class_balance
from jersey.evaluation.metrics import Evaluation
from jersey.export import VariantName
from jersey.export.pipeline import Shipped, ship
from jersey.export.variants import LEAST_AGREEMENT
from jersey.report.document import as_html, as_markdown
from jersey.report.model_profile import model_info
from jersey.report.report import Result, report
from jersey.runs import signals
from jersey.runs.aim import AimTracker
from jersey.runs.folder import RunFolder
from jersey.runs.metrics_csv import EpochLine, MetricsCsv
from jersey.runs.provenance import record_start
from jersey.training.module import JerseyModule

log = logging.getLogger(__name__)

WARNINGS = 5  # about the data, at the start of a run


@dataclass(kw_only=True)
class Experiment:
    """Everything that defines a result.

    Args:
        data: gives the datamodule, called with `seed`.
        module: gives the LightningModule, called with `labels`, `class_counts` and `seed`.
        trainer: gives the Trainer, called with `run_dir`, `loggers` and `run_state`.
        seed: of weights, train order and augmentation.
        measure: time the exported model and count its parameters; takes some seconds.
        onnx_variants: forms of the exported file to make beside it, each left there only if it answers as the network
            does: "int8" and "fp16", where they are faster than the file here, and "fixed" for crops of one size. See
            `jersey.export.variants`.
        onnx_variant_agreement: the least share of validation crops on which a variant must have torch's top-1.
    """

    data: Callable[..., JerseyDataModule]
    module: Callable[..., JerseyModule]
    trainer: Callable[..., L.Trainer]
    seed: int = 0
    measure: bool = True
    onnx_variants: tuple[VariantName, ...] = ()
    onnx_variant_agreement: float = LEAST_AGREEMENT

    def run(
        self,
        folder: RunFolder,
        *,
        aim_repo: Path,
        flat_config: Mapping[str, Any],
        review: Callable[[Mapping[str, Split]], Iterable[object]] = lambda splits: (),
    ) -> None:
        """Does what of the run is still to be done.

        Args:
            folder: where everything lands; it knows how far an earlier process came.
            aim_repo: Aim's repository.
            flat_config: the config by path, for Aim.
            review: called with the index of the data set; what it returns is logged as warnings.

        Raises:
            UserError: the data set or a setting is wrong.
        """
        if folder.stage == "finished":
            log.info("%s is finished, see %s; to run this again choose another --run", folder.path, folder.report.name)
            return
        L.seed_everything(self.seed, verbose=False)
        if rank() > 0:
            self._fit_and_test(self._read(), folder, loggers=[])
            return
        started = time.monotonic()
        commit = record_start(folder.path)
        data = self._read()
        _record_labels(data.labels, folder)
        audit = fast_audit(data.root, data.splits, data.pictures, skipped=data.skipped, labels=data.labels.names)
        _record_audit(audit, folder)
        for finding in review(data.splits):
            log.warning("%s", finding)
        tracker = AimTracker(
            repo=aim_repo,
            experiment=folder.experiment,
            run_name=folder.name,
            hash_file=folder.path / "aim_hash",
            commit=commit,
        )
        tracker.log_config(flat_config)
        tracker.log_labels(data.labels)
        with tracker.outcome():
            loggers = [MetricsCsv(run_dir=folder.path), EpochLine(), tracker]
            module, trainer, best = self._fit_and_test(data, folder, loggers=loggers)
            test = module.evaluations["test"]
            shipped = ship(
                module,
                data,
                folder,
                best=best,
                commit=commit,
                variants=self.onnx_variants,
                least_agreement=self.onnx_variant_agreement,
            )
            tracker.log_export({"file": str(folder.onnx), **shipped.facts})
            facts = _facts(self.seed, best, trainer, commit, minutes=(time.monotonic() - started) / 60)
            facts |= counted(data.skipped)
            info = _measure(module, trainer, data, folder) if self.measure else None
            counts = dict(zip(data.labels.names, data.class_counts, strict=True))
            balance = class_balance(counts, data.train_sampler, module.class_weights_K)
            _report(folder, facts, best["val"], test, data.labels, balance, shipped, info)
        folder.reached("finished", best_epoch=best["epoch"])
        log.info("test top-1 %.1f %%, see %s", 100 * test.metrics["acc_top1"], folder.report)

    def _read(self) -> JerseyDataModule:
        data = self.data(seed=self.seed)
        with rank_zero_first():
            data.prepare_data()
        data.setup()
        return data

    def _fit_and_test(
        self, data: JerseyDataModule, folder: RunFolder, *, loggers: Sequence[Logger]
    ) -> tuple[JerseyModule, L.Trainer, dict[str, Any]]:
        """The module with its best weights, and what their checkpoint says about itself."""
        module = self.module(labels=data.labels, class_counts=data.class_counts, seed=self.seed)
        trainer = self.trainer(run_dir=folder.path, loggers=loggers, run_state=module.run_state)
        _fit(trainer, module, data, folder)
        best = load_scored_weights(module, folder.best_checkpoint)
        trainer.test(module, datamodule=data, verbose=False)
        return module, trainer, best


def _record_labels(labels: Labels, folder: RunFolder) -> None:
    """Writes the label map, or compares it with the one that the run began with."""
    if folder.labels.exists():
        Labels.load(folder.labels).require_same(labels, here=f"the run {folder.path}", there="the data set")
    else:
        labels.save(folder.labels)


def _record_audit(audit: Audit, folder: RunFolder) -> None:
    """Shows what the data holds, writes down all that was found, and warns of the first of it."""
    write_text(folder.path / "audit.txt", audit.text())
    write_text(folder.path / "audit.json", audit.to_json())
    log.info("%s", audit.tables())
    told = ("missing label", "bad image")  # by the data module
    found = [finding for finding in audit.findings if finding.kind not in told]
    for finding in found[:WARNINGS]:
        log.warning("%s", finding)
    if len(found) > WARNINGS:
        log.warning("and %d more findings in the data, see %s", len(found) - WARNINGS, folder.path / "audit.txt")


def load_scored_weights(module: JerseyModule, checkpoint: Path) -> dict[str, Any]:
    """Puts the weights that earned a checkpoint its score into the module: the average where one was kept.

    Lightning's own `ckpt_path="best"` would load the raw weights here (see `WeightAveraging.on_load_checkpoint`), and
    the tested model would not be the one that was best.

    Returns:
        What the checkpoint says about itself: "epoch", "scored_weights" and "val", its scores by name.
    """
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        module.on_load_checkpoint(content)
        module.load_state_dict(content["state_dict"])
        return {"epoch": int(content["epoch"]), **content["jersey"]}
    except UserError:
        raise
    except Exception as error:  # as many kinds as there are damages
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"{checkpoint} cannot be used ({reason}); put back a copy, or choose another --run") from error


def _fit(trainer: L.Trainer, module: JerseyModule, data: JerseyDataModule, folder: RunFolder) -> None:
    last = _usable_checkpoint(folder)
    if folder.stage != "fit":
        # Training is over, perhaps stopped early: restore the counters from the checkpoint and go no further.
        trainer.fit_loop.max_epochs = folder.status["epochs"]
    if last:
        log.info("resuming %s from %s", folder.path, last.name)
    with signals.heard():
        trainer.fit(module, datamodule=data, ckpt_path=last, weights_only=True)
    folder.reached("test", epochs=trainer.current_epoch)
    wait_for_all()  # rank zero has written its last checkpoint


def _usable_checkpoint(folder: RunFolder) -> Path | None:
    """Where to go on from; a checkpoint that something has damaged is told, and the one before it taken."""
    damaged = []
    for path in folder.last_checkpoints:
        if not path.exists():
            continue
        try:
            torch.load(path, map_location="meta", weights_only=True)["jersey"]
        except Exception as error:  # as many kinds as there are damages
            damaged.append(path.name)
            log.warning("%s is damaged (%s); the checkpoint before it is taken", path, str(error).partition("\n")[0])
            continue
        return path
    if damaged:
        raise UserError(
            f"{' and '.join(damaged)} of the run {folder.path} are damaged; "
            f"remove them to train it from the start, or put back a copy"
        )
    return None


def _measure(module: JerseyModule, trainer: L.Trainer, data: JerseyDataModule, folder: RunFolder) -> dict[str, Any]:
    info = model_info(
        module.network,
        size_px=data.size_px,
        device=trainer.strategy.root_device,
        checkpoint=folder.best_checkpoint,
        onnx=folder.onnx,
    )
    write_text(folder.path / "model_info.json", json.dumps(info, indent=2) + "\n")
    return info


def _report(
    folder: RunFolder,
    facts: Mapping[str, str],
    val: Mapping[str, float],
    test: Evaluation,
    labels: Labels,
    balance: Mapping[str, Balance],
    shipped: Shipped,
    info: Mapping[str, Any] | None,
) -> None:
    difference = folder.path / "config_diff.txt"
    result = Result(
        folder=folder.path,
        facts=facts,
        difference=difference.read_text(encoding="utf-8", errors="replace") if difference.exists() else "",
        val=val,
        test=test,
        labels=labels,
        balance=balance,
        shipped=shipped,
        info=info,
    )
    title, page = f"{folder.experiment}/{folder.name}", report(result)
    write_text(folder.path / "report.html", as_html(title, page, folder.path))
    write_text(folder.report, as_markdown(title, page))


def _facts(seed: int, best: dict[str, Any], trainer: L.Trainer, commit: str, *, minutes: float) -> dict[str, str]:
    device = trainer.strategy.root_device.type
    return {
        "best epoch": f"{best['epoch']} of 0 to {trainer.current_epoch - 1}",
        "weights": f"{best['scored_weights']} (tested, exported and scored in validation)",
        "seed": str(seed),
        "device": device if world_size() == 1 else f"{device}, {world_size()} processes",
        "commit": commit,
        "minutes": f"{minutes:.1f}",
    }
