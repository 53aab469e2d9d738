"""Training on a GPU: precision, EMA weights, resumed and repeated runs, checkpoints, full memory, DDP, torch.compile.

The tests with the parameter `accelerator` run on the CPU, too.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fiddle as fdl
import helpers.registered  # noqa: F401  # its import registers the experiments
import lightning as L
import pytest
import torch
from helpers.several_processes import PROCESSES, launched_side_by_side
from helpers.small_run import (
    KillAt,
    Killed,
    assert_same_training,
    copy_of,
    fitted,
    small_data,
    small_module,
)
from lightning.pytorch.callbacks import Callback

from jersey import config as configs
from jersey.callbacks.ema import EMA
from jersey.cli.commands import config_files
from jersey.core.errors import exit_on_user_error
from jersey.data.datamodule import JerseyDataModule
from jersey.experiment import fit
from jersey.runs.checkpoints import BackgroundCheckpointIO
from jersey.runs.folder import LAST_CHECKPOINT, open_run
from jersey.training import trainer as trainers
from jersey.training.module import JerseyModule
from jersey.training.optimizers import sgd
from jersey.training.trainer import precision_for

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice
on_gpu = pytest.mark.gpu
on_cpu_and_gpu = pytest.mark.parametrize("accelerator", ["cpu", pytest.param("gpu", marks=on_gpu)])
GPU = "gpu"
DEVICES = {"cpu": "cpu", GPU: "cuda"}
SGD = partial(sgd, lr=0.05, momentum=0.9, weight_decay=0.01)  # AdamW would amplify rounding
DETERMINISTIC: dict[str, Any] = {"accelerator": GPU, "deterministic": True}


# torch reads it once, at the first matrix product on the GPU, which may be in a test before these.
os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"


@pytest.fixture(autouse=True)
def restored_determinism() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def data(crops_root: Path) -> JerseyDataModule:
    return small_data(crops_root)


class States(Callback):
    """Keeps the weights after every step."""

    def __init__(self) -> None:
        self.states: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        self.states.append(copy_of(pl_module))


@on_gpu
def test_training_is_in_the_precision_of_the_machine_and_validation_in_float32(
    data: JerseyDataModule, tmp_path: Path
) -> None:
    module = small_module(data)
    dtypes: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    module.network.head.register_forward_hook(lambda head, _, logits: dtypes[head.training].add(logits.dtype))
    fitted(tmp_path, data, module, accelerator="auto", epochs=1)
    has_bfloat16 = torch.cuda.get_device_capability() >= (8, 0)
    assert precision_for("auto") == ("bf16-mixed" if has_bfloat16 else "16-mixed")
    assert dtypes == {True: {torch.bfloat16 if has_bfloat16 else torch.float16}, False: {torch.float32}}
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("accelerator", "precision"),
    [("cpu", "bf16-mixed"), *(pytest.param(GPU, each, marks=on_gpu) for each in ("32-true", "16-mixed", "bf16-mixed"))],
)
def test_run_killed_inside_an_epoch_ends_like_an_uninterrupted_one(
    data: JerseyDataModule, tmp_path: Path, accelerator: str, precision: str
) -> None:
    def run(name: str, *callbacks: Callback) -> dict[str, Any]:
        settings = {"every_steps": 2, "precision": precision, "accelerator": accelerator, "deterministic": True}
        return fitted(tmp_path / name, data, small_module(data), EMA(decay=0.9), *callbacks, **settings)

    whole = run("whole")
    with pytest.raises(Killed):
        run("killed", KillAt(4))
    resumed = run("killed")
    assert_same_training(resumed, whole)
    assert ("MixedPrecision" in whole) == (precision == "16-mixed")
    assert resumed.get("MixedPrecision") == whole.get("MixedPrecision")  # the loss scale


@on_gpu
def test_deterministic_runs_of_an_experiment_are_equal(shrink: Callable[[fdl.Buildable], None], tmp_path: Path) -> None:
    config = configs.get_experiment("resnet18_small")()
    shrink(config)
    config.trainer.accelerator = GPU
    configs.apply_fiddler(config, "deterministic")
    checkpoints = []
    for name in ("first", "second"):
        run = open_run(tmp_path, "resnet18_small", name, config_files=config_files("resnet18_small", config))
        L.seed_everything(0, verbose=False)
        experiment = configs.build(config)
        fit(experiment.prepare(run, experiment.read_data()))
        checkpoints.append(torch.load(run.path / LAST_CHECKPOINT, weights_only=True))
    assert_same_training(*checkpoints)


@on_cpu_and_gpu
def test_ema_weights_are_on_the_device_and_match_their_definition(
    data: JerseyDataModule, tmp_path: Path, accelerator: str
) -> None:
    module, steps, ema = small_module(data), States(), EMA(decay=0.5, ramp=False)
    expected = copy_of(module)
    last = fitted(tmp_path, data, module, steps, ema, accelerator=accelerator, precision="32-true")
    for state in steps.states:
        for name, value in state.items():
            average = expected[name].to(value.device)
            expected[name] = average.lerp(value, 0.5) if value.is_floating_point() else value
    assert {value.device.type for value in last["state_dict"].values()} == {DEVICES[accelerator]}
    for name, value in last["state_dict"].items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-5)


@on_gpu
def test_checkpoint_written_in_the_background_has_the_weights_of_its_step(tmp_path: Path) -> None:
    checkpoints, weights = BackgroundCheckpointIO(), torch.zeros(20_000_000, device="cuda")
    checkpoints.save_checkpoint({"weights": weights}, tmp_path / "last.ckpt")
    for _ in range(100):
        weights.add_(1)  # training continues
    checkpoints.teardown()
    assert not torch.load(tmp_path / "last.ckpt", weights_only=True)["weights"].any()


@on_gpu
def test_full_memory_is_one_sentence_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, exit_on_user_error():
        torch.empty(2**50, dtype=torch.uint8, device="cuda")
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the GPU is out of memory (Tried to allocate")


@on_gpu
def test_ddp_over_nccl_trains_like_one_process(
    data: JerseyDataModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a group of one process, because NCCL needs a GPU for each."""
    fixed, backends = trainers._fixed, []

    class Backend(Callback):
        def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            backends.append(torch.distributed.get_backend())

    def with_ddp(*arguments: Any, **settings: Any) -> dict[str, Any]:
        return fixed(*arguments, **settings) | {"strategy": "ddp", "sync_batchnorm": True}

    settings = {"epochs": 1, "precision": "32-true", **DETERMINISTIC}
    modules = [small_module(data, optimizer=SGD) for _ in range(2)]
    alone = fitted(tmp_path / "alone", data, modules[0], EMA(decay=0.5), **settings)
    monkeypatch.setattr(trainers, "_fixed", with_ddp)
    try:
        shared = fitted(tmp_path / "ddp", data, modules[1], Backend(), EMA(decay=0.5), epochs=1, **DETERMINISTIC)
    finally:
        torch.distributed.destroy_process_group()
    assert backends == ["nccl"]
    assert shared["global_step"] == alone["global_step"]
    torch.testing.assert_close(shared["state_dict"], alone["state_dict"], atol=1e-3, rtol=1e-2)


@on_gpu
def test_two_processes_need_two_gpus(crops_root: Path, tmp_path: Path) -> None:
    """NCCL rejects a group of two processes on one GPU, so jersey rejects it first."""
    changes = [f"data.root={crops_root}", "data.size_px=(32, 32)", "data.batch_size=16", "trainer.epochs=1"]
    flags = ["--exp=resnet18_small", f"--workdir={tmp_path}", "--run=shared"]
    ended = launched_side_by_side([*flags, *(f"--fdl_set={change}" for change in changes)], tmp_path)
    if torch.cuda.device_count() < PROCESSES:
        assert [each.returncode for each in ended] == [2] * PROCESSES
        assert "".join(each.stderr for each in ended).count("on a machine with 1 GPUs") == 1
    else:
        assert [each.returncode for each in ended] == [0] * PROCESSES, [each.stderr for each in ended]


@pytest.fixture
def exact_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disables TF32, which rounds products on the GPU to 10 bits and is torch's default for convolutions."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def trained(data: JerseyDataModule, folder: Path, **settings: Any) -> JerseyModule:
    """Returns a module after a training that differs only by rounding between devices and compilers."""
    network = {"compile_network": settings.pop("compile_network", None)}
    module = small_module(data, is_augmented=False, optimizer=SGD, **network)
    fitted(folder, data, module, EMA(decay=0.5), precision="32-true", **settings)
    return module


def assert_equal_results(left: JerseyModule, right: JerseyModule) -> None:
    for split, expected in right.evaluations.items():
        found = left.evaluations[split]
        torch.testing.assert_close(found.logits_NK, expected.logits_NK, atol=0.02, rtol=0.02)
        assert abs(found.metrics["acc_top1"] - expected.metrics["acc_top1"]) <= 1 / len(expected.labels_N)


@pytest.mark.usefixtures("exact_convolutions")
@on_cpu_and_gpu
def test_results_are_those_of_the_cpu(data: JerseyDataModule, tmp_path: Path, accelerator: str) -> None:
    on_device, on_cpu = (
        trained(data, tmp_path / name, accelerator=each) for name, each in (("device", accelerator), ("cpu", "cpu"))
    )
    assert on_device.evaluations.keys() == {"train", "val"}
    assert_equal_results(on_device, on_cpu)


@pytest.mark.usefixtures("exact_convolutions")
@pytest.mark.parametrize(
    ("accelerator", "mode"),
    [
        pytest.param("cpu", "default", marks=pytest.mark.slow),
        *(pytest.param("gpu", mode, marks=on_gpu) for mode in ("default", "reduce-overhead", "max-autotune")),
    ],
)
def test_compiled_network_has_the_results_of_the_plain_one(
    data: JerseyDataModule, tmp_path: Path, accelerator: str, mode: str
) -> None:
    """The last two modes use CUDA graphs, whose outputs the next step overwrites."""
    compiled = trained(data, tmp_path / "compiled", accelerator=accelerator, compile_network=mode)
    assert_equal_results(compiled, trained(data, tmp_path / "plain", accelerator=accelerator))
