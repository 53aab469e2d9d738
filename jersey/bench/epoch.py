"""Compares whole epochs of a run with the bare training step, torchvision and timm.

    python -m jersey.bench.epoch runs/resnet18_small/RUN --set='size_px=(128, 128)'

It trains the config of a run folder with all its callbacks, Aim and checkpoints in a temporary folder; only the number
of batches is limited. Between these epochs, the same process trains the baselines on the same number of batches:

- bare step: the same network and precision, batches that are already on the device, forward, backward, torch's AdamW;
- torchvision: ImageFolder, v2 transforms, a DataLoader with one worker per core, then the bare step;
- timm: its own loader and its network of the same name, then the bare step; left out if timm is not installed.

`training` is the time from the start of an epoch to its validation. `epoch` includes a validation of the same number of
batches, which is equal for all candidates. For jersey alone, it also includes checkpoints, metrics and images; a
shortened epoch has as many of them as a whole one. The data set needs one folder per class, because torchvision and
timm read no other layout.

Several networks and sizes are compared in a table with one row each, for example on a machine with a GPU:

    python -m jersey.bench.epoch RUN --architectures resnet18 resnet50 --px 64 128 224 --batch_sizes 256 --batches=50

A line of JSON follows each row, so that an interrupted benchmark loses only the row that it measured. A combination
that does not fit into the memory of the GPU is left out of the table.

`busy` is the fraction of jersey's epochs in which the GPU computed something, and `W` its mean power in watts (see
`jersey.bench.gpu_load`). `GB` is the peak GPU memory in them, including the networks of the baselines.

Shapes: B batch, H W size.
"""

import copy
import itertools
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jersey import config as configs
from jersey.bench import harness
from jersey.bench.gpu_load import GpuLoad, Load
from jersey.bench.harness import Times
from jersey.bench.reference_loaders import TrainBatches, reference_loaders
from jersey.callbacks.base import data_of, module_of
from jersey.cli.commands import config_files
from jersey.core.errors import UserError
from jersey.core.tables import format_table
from jersey.core.timing import speedup, wait_for_device
from jersey.data.loader import Batch
from jersey.experiment import fit
from jersey.runs.aim import AimTracker
from jersey.runs.checkpoints import BackgroundCheckpointIO
from jersey.runs.folder import open_run
from jersey.runs.metrics_csv import EpochLogger, MetricsCsv
from jersey.training.trainer import AUTOCAST

BASELINES = ("bare step", "torchvision", "timm")


@dataclass
class BareLoop:
    """A training loop that does nothing but the bare step.

    Attributes:
        network: network that is trained.
        loader: batches of an epoch.
        dtype: data type of autocast; None disables it.
        optimizer: torch's AdamW.
    """

    network: nn.Module
    loader: TrainBatches
    dtype: torch.dtype | None
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-4)

    def epoch(self, val: Sequence[Batch], validated: nn.Module) -> tuple[float, float]:
        """Trains an epoch, then runs a validation.

        Args:
            val: batches of the validation.
            validated: network of the validation, the same for all baselines.

        Returns:
            The seconds of the training, and those of both.
        """
        wait_for_device()
        started = time.perf_counter()
        self.network.train()
        for images_BCHW, labels_B in self.loader:
            self._step(images_BCHW, labels_B)
        wait_for_device()
        training_s = time.perf_counter() - started
        validated.eval()
        with torch.inference_mode():
            for batch in val:
                validated(batch["images"])
        wait_for_device()
        return training_s, time.perf_counter() - started

    def _step(self, images_BCHW: Tensor, labels_B: Tensor) -> None:
        with torch.autocast(images_BCHW.device.type, dtype=self.dtype, enabled=self.dtype is not None):
            loss = F.cross_entropy(self.network(images_BCHW), labels_B)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


class BetweenEpochs(L.Callback):
    """Records the times of a fit's epochs and trains the baselines between them; it must be the first callback.

    Args:
        architecture: name of timm's network.
        batches: number of batches per epoch.

    Attributes:
        times_s: seconds of "training" and of the whole "epoch" by candidate, one value per epoch.
        spans_s: start and end of each of jersey's epochs, on the clock of `time.perf_counter`.
        peak_bytes: peak GPU memory in jersey's epochs; 0 without a GPU.
    """

    def __init__(self, architecture: str, batches: int) -> None:
        self.architecture, self.batches = architecture, batches
        self._baselines: dict[str, BareLoop] = {}
        self._val: list[Batch] = []
        self.times_s: dict[str, Times] = {"training": {}, "epoch": {}}
        self.spans_s: list[tuple[float, float]] = []
        self.peak_bytes = 0
        self._started = self._trained = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        data, device = data_of(trainer), trainer.strategy.root_device
        network = copy.deepcopy(module_of(pl_module).network)
        self._val = list(itertools.islice(data.val_dataloader(), self.batches))
        train = itertools.islice(data.train_dataloader(), self.batches)
        loaders: dict[str, TrainBatches] = {"bare step": [(batch["images"], batch["labels"]) for batch in train]}
        loaders |= reference_loaders(data, batches=self.batches, device=device)
        networks = {"bare step": network, "torchvision": copy.deepcopy(network)}
        networks["torchvision"].normalize = nn.Identity()  # its loader normalizes
        if "timm" in loaders:
            from timm import create_model

            timm_network = create_model(self.architecture, num_classes=len(data.labels)).to(device)
            networks["timm"] = timm_network.to(memory_format=torch.channels_last)
        dtype = AUTOCAST.get(str(trainer.precision))
        self._baselines = {name: BareLoop(each, loaders[name], dtype) for name, each in networks.items()}

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch:
            self._record_epoch(trainer)
        for name, baseline in self._baselines.items():
            self._add(name, *baseline.epoch(self._val, self._baselines["bare step"].network))
        wait_for_device()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self._started = time.perf_counter()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        wait_for_device()
        self._trained = time.perf_counter() - self._started

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._record_epoch(trainer)

    def _record_epoch(self, trainer: L.Trainer) -> None:
        wait_for_device()
        checkpoint_io = trainer.strategy.checkpoint_io
        assert isinstance(checkpoint_io, BackgroundCheckpointIO)
        checkpoint_io.wait()  # jersey's unfinished writes must not slow down the baselines
        ended = time.perf_counter()
        self._add("jersey", self._trained, ended - self._started)
        self.spans_s.append((self._started, ended))
        if torch.cuda.is_available():
            self.peak_bytes = max(self.peak_bytes, torch.cuda.max_memory_allocated())

    def _add(self, name: str, training_s: float, epoch_s: float) -> None:
        for title, seconds in (("training", training_s), ("epoch", epoch_s)):
            self.times_s[title].setdefault(name, []).append(seconds)


@dataclass(frozen=True, kw_only=True)
class EpochTimes:
    """The results without the first round.

    Attributes:
        times_s: seconds of "training" and of the whole "epoch" by candidate, one value per round.
        crops: number of training crops per epoch.
        load: mean load of the GPU in jersey's epochs.
        gpu_gb: peak GPU memory in jersey's epochs, including the networks of the baselines; None without a GPU.
    """

    times_s: dict[str, Times]
    crops: int
    load: Load
    gpu_gb: float | None


def measure(folder: Path, changes: Sequence[str], *, rounds: int, batches: int) -> EpochTimes:
    """Trains all candidates in turn, for one round of warm-up and `rounds` timed ones.

    Args:
        folder: run folder to repeat.
        changes: overrides of its config.
        rounds: number of timed epochs.
        batches: number of batches per epoch.

    Raises:
        UserError: if the folder has no config, or the data set has illegible crops.
    """
    limits = (f"trainer.epochs={rounds + 1}", f"trainer.limit_batches={batches}")
    name, config = harness.load_run(folder, [*changes, *limits])
    between = BetweenEpochs(configs.flatten(config).get("module.network.architecture", "resnet18"), batches)
    experiment = harness.with_callbacks(configs.build(config), between=between)
    data = experiment.read_data()
    if any(split.illegible for split in data.splits.values()):
        problem = "has illegible crops, which the baselines would learn as a class; use a data set without them"
        raise UserError(f"{data.root} {problem}")
    run, load = open_run(harness.workdir(), name, "bench", config_files=config_files(name, config)), GpuLoad()
    tracker = AimTracker(repo=run.path / ".aim", experiment=name, run_name="bench", hash_file=run.path / "aim_hash")
    with load.sampled():
        fit(experiment.prepare(run, data, loggers=[MetricsCsv(run_dir=run.path), EpochLogger(), tracker]))
    tracker.finalize("finished")
    return EpochTimes(
        times_s={title: _without_first(times_s) for title, times_s in between.times_s.items()},
        crops=batches * data.batch_size,
        load=load.mean(between.spans_s[1:]),
        gpu_gb=between.peak_bytes / 1e9 if between.peak_bytes else None,
    )


def _without_first(times_s: Times) -> Times:
    """Drops the first round and puts the baseline of the table first."""
    return {name: times_s[name][1:] for name in dict.fromkeys(("bare step", "jersey", *times_s))}


def bench(
    folder: Path,
    changes: list[str],
    architectures: tuple[str, ...] = (),
    px: tuple[int, ...] = (),
    batch_sizes: tuple[int, ...] = (),
    rounds: int = 4,
    batches: int = 8,
) -> dict[str, Any]:
    """Prints two tables per combination; after the second and each later one, also a table of all so far.

    Args:
        folder: run folder to repeat, such as runs/quickstart/20261121-101500.
        changes: change of its config, such as data.batch_size=64; may be given several times.
        architectures: networks to compare, such as resnet18 resnet50; by default the run's own.
        px: sides of the network's input in pixels, such as 64 128; by default the run's own size.
        batch_sizes: numbers of crops per training step, such as 256 1024; by default the run's own.
        rounds: number of timed epochs after one of warm-up, such as 4.
        batches: number of batches per epoch, such as 50.
    """
    if rounds < 2 or batches < 1:
        raise UserError("--rounds must be at least 2, and --batches at least 1")
    batch = [[f"data.batch_size={each}"] for each in batch_sizes] or [[]]
    networks = [[f"module.network.architecture={each}"] for each in architectures] or [[]]
    sizes = [[f"data.size_px=({each}, {each})"] for each in px] or [[]]
    combinations = [[*first, *second, *third] for first, second, third in itertools.product(batch, networks, sizes)]
    rows: list[dict[str, Any]] = []
    for combination in combinations:
        try:
            measured = measure(folder, [*changes, *combination], rounds=rounds, batches=batches)
        except torch.OutOfMemoryError:
            if len(combinations) == 1:
                raise
            print(json.dumps({"changes": combination, "error": "the GPU is out of memory"}), flush=True)
            continue
        crops = measured.crops
        speeds = {
            title: harness.print_speeds(f"\n{title}, {crops} crops", times_s, baseline="bare step", crops=crops)
            for title, times_s in measured.times_s.items()
        }
        rows.append({"changes": combination, **row(measured), **speeds})
        if len(rows) > 1:
            print(f"\n{grid(rows)}", flush=True)
        print(json.dumps(rows[-1]), flush=True)
    return {"batches": batches, "rows": rows}


def row(measured: EpochTimes) -> dict[str, Any]:
    """Returns jersey's training speed, absolute and relative to each baseline, and its use of the GPU."""
    times_s = measured.times_s["training"]
    jersey_s = times_s["jersey"]
    return {
        "crops/s": round(measured.crops / statistics.median(jersey_s)),
        **{f"x {name}": str(speedup(times_s[name], jersey_s)) if name in times_s else None for name in BASELINES},
        "busy": None if measured.load.busy is None else round(measured.load.busy, 3),
        "W": None if measured.load.watts is None else round(measured.load.watts),
        "GB": None if measured.gpu_gb is None else round(measured.gpu_gb, 2),
    }


def grid(rows: Sequence[dict[str, Any]]) -> str:
    """Formats one line per row, with a dash where a value was not measured."""
    names = ["crops/s", *(name for name in rows[0] if name.startswith("x ")), "busy", "W", "GB"]
    cells = [[" ".join(each["changes"]), *("-" if each[n] is None else str(each[n]) for n in names)] for each in rows]
    return "\n".join(format_table([["", *names], *cells]))


if __name__ == "__main__":
    harness.command("epoch", __doc__, bench)
