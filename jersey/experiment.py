"""The root of every config and the stages of a run: read and audit the data, fit, test, export, profile, report.

Each stage is a function of the run's state that writes its own files and can be called alone. With several processes
(`jersey.core.distributed`) every process reads the data, fits and tests; rank zero does the rest.

Parts are passed as partials and receive what is only known at run time: the labels, the seed and the run folder.
Building a config therefore reads no data.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers import Logger

from jersey.core.atomic import write_text
from jersey.core.console import collected_warnings
from jersey.core.distributed import barrier, rank, rank_zero_first, world_size
from jersey.core.errors import UserError, plural
from jersey.core.labels import Labels, SplitName
from jersey.core.timing import StageTimes
from jersey.data.audit import fast_audit
from jersey.data.datamodule import JerseyDataModule
from jersey.data.index import Split
from jersey.data.problems import skipped_summary
from jersey.data.sampler import class_balance
from jersey.evaluation.metrics import Evaluation
from jersey.export.pipeline import ExportResult, export_run
from jersey.export.variants import MIN_AGREEMENT, VariantName
from jersey.models.weights import skip_weights
from jersey.report.model_profile import profile_model
from jersey.report.report import ReportContent, write_report
from jersey.report.reproduction import reproduction
from jersey.report.sections import section_blocks, track_report
from jersey.runs import signals
from jersey.runs.aim import AimTracker, nested
from jersey.runs.checkpoints import load_tensors, require_known_format, usable_checkpoint
from jersey.runs.folder import BEST_CHECKPOINT, LABELS, RunFolder
from jersey.runs.loggers import NoTracker, connect
from jersey.runs.metrics_csv import EpochLogger, MetricsCsv
from jersey.runs.provenance import Origin, record_start, record_weights
from jersey.training.module import JerseyModule

log = logging.getLogger(__name__)

AUDIT = "audit.json"
MAX_WARNINGS = 5  # findings about the data that are logged at the start of a run; a file has all of them


@dataclass(kw_only=True)
class Experiment:
    """The root of a config: everything that defines the result of a run.

    Attributes:
        data: function that returns the datamodule, called with `seed`.
        module: function that returns the LightningModule, called with `labels`, `class_counts` and `seed`.
        trainer: function that returns the Trainer, called with `run_dir`, `loggers` and `run_state`.
        seed: seed of the initial weights, the training order and the augmentation.
        profile: whether to time the exported model and count its parameters, which takes a few seconds.
        onnx_variants: additional forms of the exported file: "int8", "fp16", "static"; see `jersey.export.variants`.
        onnx_variant_min_agreement: minimum fraction of validation crops on which a variant must predict torch's top-1.
        tracker: class of Aim's logger; None leaves Aim out.
        logger: function of `run_dir` that returns another logger of Lightning; see `jersey.runs.loggers`.
    """

    data: Callable[..., JerseyDataModule]
    module: Callable[..., JerseyModule]
    trainer: Callable[..., L.Trainer]
    seed: int = 0
    profile: bool = True
    onnx_variants: tuple[VariantName, ...] = ()
    onnx_variant_min_agreement: float = MIN_AGREEMENT
    tracker: Callable[..., AimTracker] | None = AimTracker
    logger: Callable[..., Logger] | None = None

    def run(
        self,
        folder: RunFolder,
        *,
        aim_repo: Path,
        flat_config: Mapping[str, Any],
        description: str = "",
        review: Callable[[Mapping[str, Split]], Iterable[object]] = lambda splits: (),
    ) -> None:
        """Runs every stage that the run has not finished yet.

        Args:
            folder: folder of the run; its status records which stages an earlier process finished.
            aim_repo: path of Aim's repository.
            flat_config: config values by path, recorded in Aim.
            description: description of the experiment and its changes, for Aim.
            review: function of the splits by name; the items that it returns are logged as warnings.

        Raises:
            UserError: the data set or a setting is invalid.
        """
        if folder.stage == "finished":
            log.info("%s is finished, see %s; to run this again choose another --run", folder.path, folder.report.name)
            return
        log.info("run folder: %s", folder.path)
        L.seed_everything(self.seed, verbose=False)
        if rank() > 0:
            state = self.prepare(folder, self.read_data())
            fit(state)
            test(state)
            return
        started_s, origin, timed = time.monotonic(), record_start(folder.path), StageTimes()
        with collected_warnings() as warnings:
            more = [self.logger(run_dir=folder.path)] if self.logger else []
            data = timed("data", self.read_data)
            timed("audit", audit, data, folder, review(data.splits))
            tracker = self._new_tracker(folder, origin, aim_repo=aim_repo, description=description)
            loggers = [MetricsCsv(run_dir=folder.path), EpochLogger(), tracker, *more]
            records = {"origin": origin, "warnings": warnings, "started_s": started_s}
            state = self.prepare(folder, data, loggers=loggers, **records)
            record_weights(folder.path, state.module.network.initial_weights)
            with tracker.outcome():  # from here on, as a run that cannot start is not one in Aim
                tracker.log_metadata("config", nested(flat_config))
                for logger in more:
                    connect(logger, state.module.run_state, flat_config)
                labels = {"names": list(data.labels.names), "count": len(data.labels), "sha256": data.labels.sha256}
                tracker.log_metadata("labels", labels)
                timed("fit", fit, state)
                tested = timed("test", test, state)
                exported = timed("export", export, state, tested)
                tracker.log_metadata("export", {"file": str(folder.onnx), **exported.summary})
                timed("report", report, state, tested, exported)
        log.info("seconds by stage: %s", timed)
        folder.mark_stage("finished", best_epoch=tested.best["epoch"])
        top1 = 100 * tested.evaluation.metrics["acc_top1"]
        log.info("%s top-1 %.1f %%, see %s", tested.split, top1, folder.report)

    def _new_tracker(
        self, folder: RunFolder, origin: Origin, *, aim_repo: Path, description: str
    ) -> AimTracker | NoTracker:
        if self.tracker is None:
            return NoTracker()
        return self.tracker(
            repo=aim_repo,
            experiment=folder.experiment,
            run_name=folder.name,
            hash_file=folder.path / "aim_hash",
            origin=origin,
            description=description,
        )

    def read_data(self) -> JerseyDataModule:
        """Generates the data set if it is synthetic and missing, then reads, decodes and checks it."""
        data = self.data(seed=self.seed)
        with rank_zero_first():
            data.prepare_data()
        data.setup()
        data.check_batch_size()  # before anything is written
        return data

    def prepare(
        self, folder: RunFolder, data: JerseyDataModule, *, loggers: Sequence[Logger] = (), **records: Any
    ) -> "RunContext":
        """Builds module and trainer, for the stages after the audit.

        Args:
            folder: folder of the run.
            data: data set, as returned by `read_data`.
            loggers: loggers of Lightning.
            **records: `origin`, `warnings` and `started_s` of the returned context.
        """
        # A checkpoint replaces all weights, so the source of pretrained ones may be gone by then.
        is_resumed = folder.stage != "fit" or any(path.exists() for path in folder.last_checkpoints)
        with skip_weights() if is_resumed else nullcontext():
            module = self.module(labels=data.labels, class_counts=data.class_counts, seed=self.seed)
        if sentence := module.network.size_error(data.size_px):
            raise UserError(sentence)
        if (size_px := module.network.pretrained_size_px) not in (None, data.size_px):
            was, now = ("({},{})".format(*each) for each in (size_px, data.size_px))
            log.warning(
                "the initial weights are those of a network for data.size_px=%s, and data.size_px=%s changes what they "
                "see; set data.size_px=%s, or check that training recovers their accuracy",
                *(was, now, was),
            )
        trainer = self.trainer(run_dir=folder.path, loggers=loggers, run_state=module.run_state)
        return RunContext(experiment=self, folder=folder, data=data, module=module, trainer=trainer, **records)

    def best_module(self, folder: Path) -> JerseyModule:
        """Returns the module of the run in `folder` with its best weights.

        Raises:
            UserError: the label map or the checkpoint cannot be used.
        """
        labels = Labels.load(folder / LABELS)
        with skip_weights():
            module = self.module(labels=labels, class_counts=[1] * len(labels), seed=self.seed)
        load_best_weights(module, folder / BEST_CHECKPOINT)
        return module


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """The state of a run in this process, passed to its stages.

    Attributes:
        experiment: config of the run.
        folder: folder of the run.
        data: data set.
        module: module, which holds the best weights from `test` on.
        trainer: trainer.
        origin: code of this start.
        warnings: warnings of this process so far.
        started_s: start of the process on the clock of `time.monotonic`.
    """

    experiment: Experiment
    folder: RunFolder
    data: JerseyDataModule
    module: JerseyModule
    trainer: L.Trainer
    origin: Origin = field(default_factory=Origin)
    warnings: Sequence[str] = ()
    started_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class TestResult:
    """The result of the test.

    Attributes:
        best: metadata of the best checkpoint, as returned by `load_best_weights`.
        val: evaluation of its weights on the validation split.
        test: evaluation of its weights on the test split, at the temperature that `val` fitted; None without one.
    """

    __test__ = False  # pytest would collect it as a class of tests otherwise

    best: dict[str, Any]
    val: Evaluation
    test: Evaluation | None

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation on `split`."""
        return self.val if self.test is None else self.test

    @property
    def split(self) -> SplitName:
        """ "test", or "val" if the data set has no test split."""
        return "val" if self.test is None else "test"


def audit(data: JerseyDataModule, folder: RunFolder, remarks: Iterable[object]) -> None:
    """Writes the label map and the findings about the data, logs the class counts, and warns of the first findings.

    Args:
        data: data set.
        folder: folder of the run.
        remarks: remarks about the config, all of which are logged as warnings.

    Raises:
        UserError: the run started with a different label map, or with other images or labels.
    """
    if folder.labels.exists():
        Labels.load(folder.labels).require_same(data.labels, here=f"the run {folder.path}", there="the data set")
    else:
        data.labels.save(folder.labels)
    sha256 = data.sha256
    if folder.status.get("data_sha256", sha256) != sha256:
        what = f"the images or labels in {data.root} are not those with which the run {folder.path} started"
        raise UserError(f"{what}; restore them, or choose another --run")
    folder.mark_stage(folder.stage, data_sha256=sha256)
    found = fast_audit(data.index, data.splits, data.image_meta, skipped=data.skipped, labels=data.labels.names)
    write_text(folder.path / "audit.txt", found.text())
    write_text(folder.path / AUDIT, found.to_json())
    log.info("%s", found.tables())
    already_logged = ("missing_label", "bad_image", "unused_files", "unusual_label")  # by the data module
    findings = [finding for finding in found.findings if finding.kind not in already_logged]
    for finding in findings[:MAX_WARNINGS]:
        log.warning("%s", finding)
    if len(findings) > MAX_WARNINGS:
        log.warning("see %s for %s", folder.path / "audit.txt", plural(len(findings) - MAX_WARNINGS, "more finding"))
    for remark in remarks:
        log.warning("%s", remark)


def fit(state: RunContext) -> None:
    """Trains, from the last checkpoint on if there is one; if training has finished, only restores its counters."""
    folder, trainer = state.folder, state.trainer
    last = usable_checkpoint(folder)
    if folder.stage != "fit":  # training has finished, perhaps by early stopping, so no more epochs follow
        trainer.fit_loop.max_epochs = folder.status["epochs"]
    if last:
        log.info("resuming %s from %s", folder.path, last.name)
    with signals.defer_stop():
        trainer.fit(state.module, datamodule=state.data, ckpt_path=last, weights_only=True)
    folder.mark_stage("test", epochs=trainer.current_epoch)
    barrier()  # until rank zero has written its last checkpoint


def test(state: RunContext) -> TestResult:
    """Loads the best weights, and evaluates them on val, which fits the temperature, and on test if it exists."""
    best, evaluations = load_best_weights(state.module, state.folder.best_checkpoint), state.module.evaluations
    state.trainer.validate(state.module, datamodule=state.data, verbose=False)
    if "test" in state.data.splits:
        state.trainer.test(state.module, datamodule=state.data, verbose=False)
    return TestResult(best, evaluations["val"], evaluations.get("test"))


def export(state: RunContext, tested: TestResult) -> ExportResult:
    """Writes the ONNX file and its variants; see `jersey.export.pipeline`."""
    return export_run(
        state.module.network,
        state.data,
        state.folder,
        eval_weights=tested.best["eval_weights"],
        val=tested.val,
        test=tested.test,
        origin=state.origin,
        variants=state.experiment.onnx_variants,
        min_agreement=state.experiment.onnx_variant_min_agreement,
    )


def report(state: RunContext, tested: TestResult, exported: ExportResult) -> None:
    """Writes `report.md` and `report.html`, and with `Experiment.profile` also `model_info.json`."""
    folder, data, network, run = state.folder, state.data, state.module.network, state.module.run_state
    info: dict[str, Any] | None = None
    if state.experiment.profile:
        device, checkpoint = state.trainer.strategy.root_device, folder.best_checkpoint
        info = profile_model(network, size_px=data.size_px, device=device, checkpoint=checkpoint, onnx=folder.onnx)
        write_text(folder.path / "model_info.json", json.dumps(info, indent=2) + "\n")
    config_diff, epochs = folder.path / "config_diff.txt", folder.status["epochs"]
    minutes = (time.monotonic() - state.started_s) / 60
    counts = dict(zip(data.labels.names, data.class_counts, strict=True))
    content = ReportContent(
        folder=folder.path,
        best_epoch=tested.best["epoch"] + 1,
        epochs=epochs,
        reproduction=reproduction(folder.path, data, state.module, more=_summary(state, tested), minutes=minutes),
        config_diff=config_diff.read_text(encoding="utf-8", errors="replace") if config_diff.exists() else "",
        val=tested.val,
        test=tested.test,
        labels=data.labels,
        balance=class_balance(counts, data.train_sampler, state.module.class_weights_K, state.module.log_prior_K),
        exported=exported,
        info=info,
        findings=_findings(folder.path / AUDIT),
        sections=section_blocks(run, folder.path, step=state.trainer.global_step),
        warnings=tuple(state.warnings),
    )
    write_report(f"{folder.experiment}/{folder.name}", content)
    track_report(run, folder.path, split=tested.split, warnings=state.warnings, step=state.trainer.global_step)


def _findings(audit_file: Path) -> list[str]:
    """Returns the sentences of the audit that the start of the run wrote."""
    content = json.loads(audit_file.read_text(encoding="utf-8")) if audit_file.exists() else {"findings": []}
    return [f"{finding['kind']}: {finding['sentence']}" for finding in content["findings"]]


def _summary(state: RunContext, tested: TestResult) -> dict[str, str]:
    device = state.trainer.strategy.root_device.type
    return {
        "weights": f"{tested.best['eval_weights']} (validated, tested and exported)",
        **({} if tested.split == "test" else {"test split": "none; val chose the best epoch, so it is optimistic"}),
        "seed": str(state.experiment.seed),
        "device": device if world_size() == 1 else f"{device}, {world_size()} processes",
    } | skipped_summary(state.data.skipped)


def load_best_weights(module: JerseyModule, checkpoint: Path) -> dict[str, Any]:
    """Loads the weights that were validated into the module: the EMA weights if the checkpoint has them.

    Lightning's own `ckpt_path="best"` would load the raw weights here (see `WeightAveraging.on_load_checkpoint`).

    Args:
        module: module with the labels of the run.
        checkpoint: path of the run's `best.ckpt`.

    Returns:
        Metadata of the checkpoint: "epoch", "eval_weights" and "val", its validation metrics by name.

    Raises:
        UserError: the file is damaged, or the labels are not those of the module.
    """
    try:
        content = load_tensors(checkpoint, device="cpu")
        require_known_format(content["jersey"], checkpoint)
        module.on_load_checkpoint(content)
        module.load_state_dict(content["state_dict"])
        return {"epoch": int(content["epoch"]), **content["jersey"]}
    except UserError:
        raise
    except Exception as error:  # a damaged file can raise almost any exception
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(f"{checkpoint} cannot be used ({reason}); restore a copy, or choose another --run") from error
