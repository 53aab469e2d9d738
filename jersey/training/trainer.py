"""Lightning's Trainer as jersey configures it: on one device, or with DDP on one device per process of torchrun.

Several processes train as one would: each takes a part of the batch, and the mean of their gradients is that of the
whole batch. On GPUs batch normalization covers the whole batch. On the CPU, which SyncBatchNorm does not support, each
process normalizes its own part, and the running statistics are those of rank zero.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from jersey.core.distributed import local_world_size, world_size
from jersey.core.errors import UserError
from jersey.core.labels import SPLITS
from jersey.runs.state import RunState, join_all

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]
AUTOCAST = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}
"""The type in which autocast computes, for each precision below single precision."""


def callback_dict(**members: Callback | None) -> dict[str, Callback | None]:
    """Returns its arguments as a dict. In a config this function gives them paths such as `callbacks.ema.decay`."""
    return members


def make_trainer(
    *,
    run_dir: Path,
    loggers: Sequence[Logger],
    run_state: RunState,
    callbacks: dict[str, Callback | None],
    epochs: int,
    precision: Precision | Literal["auto"] = "auto",
    accelerator: str = "auto",
    clip_norm: float | None = 1.0,
    accumulate: int = 1,
    deterministic: bool = False,
    limit_batches: int | None = None,
) -> L.Trainer:
    """Returns a trainer that works in `run_dir`; loggers and callbacks join the run state.

    Args:
        run_dir: run folder.
        loggers: loggers of Lightning.
        run_state: state that the parts of the run share, created with the module.
        callbacks: callbacks by name; None omits one.
        epochs: maximum number of epochs.
        precision: precision of Lightning; "auto" takes bf16 or fp16 on a GPU (see `precision_for`), else fp32.
        accelerator: "auto" for a GPU if there is one, or "cpu".
        clip_norm: maximum gradient norm; None for no clipping.
        accumulate: batches per optimizer step.
        deterministic: whether torch raises for operations whose results differ between two runs on a GPU.
        limit_batches: maximum number of batches per epoch, for every split; None for all.

    Raises:
        UserError: torchrun has started more processes than the machine has GPUs.
    """
    used = [callback for callback in callbacks.values() if callback is not None]
    join_all([*loggers, *used], run_state)
    fixed = _fixed(run_state, on_gpu=_is_on_gpu(accelerator))
    limits: dict[str, Any] = {f"limit_{split}_batches": limit_batches for split in SPLITS}
    return L.Trainer(
        default_root_dir=run_dir,
        logger=list(loggers),
        callbacks=used,
        max_epochs=epochs,
        precision=precision_for(accelerator) if precision == "auto" else precision,
        accelerator=accelerator,
        gradient_clip_val=clip_norm,
        accumulate_grad_batches=accumulate,
        deterministic=deterministic,
        benchmark=not deterministic,  # all batches have one shape, so cudnn times its kernels once
        **limits,
        **fixed,
    )


def _fixed(run: RunState, *, on_gpu: bool) -> dict[str, Any]:
    """Returns the settings that are not configurable: the devices, the strategy and jersey's own plugins.

    Raises:
        UserError: as in `make_trainer`.
    """
    gpus, local, processes = torch.cuda.device_count(), local_world_size(), world_size()
    if on_gpu and local > gpus:
        raise UserError(
            f"torchrun has started {local} processes on a machine with {gpus} GPUs; start it with "
            f"--nproc_per_node={gpus}, or set trainer.accelerator=cpu"
        )
    # By default DDP waits for the gradient of every weight, and frozen weights have none.
    ddp = "ddp_find_unused_parameters_true" if run.freezes_weights else "ddp"
    return {
        "devices": local,
        "num_nodes": processes // local,
        "strategy": ddp if processes > 1 else "auto",
        "sync_batchnorm": on_gpu and processes > 1,
        "use_distributed_sampler": False,  # `jersey.data.loader` splits the batches itself
        "plugins": [run.checkpoint_io],
        "num_sanity_val_steps": 0,  # the first validation follows one short epoch
        "enable_model_summary": False,
    }


def precision_for(accelerator: str) -> Precision:
    """Returns the precision of "auto": fp32 on the CPU; on a GPU bf16 if it supports that, else fp16 with loss scale.

    Args:
        accelerator: "auto" for a GPU if there is one, or "cpu".
    """
    if not _is_on_gpu(accelerator):
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"


def _is_on_gpu(accelerator: str) -> bool:
    return accelerator != "cpu" and torch.cuda.is_available()
