"""Lightning's Trainer, set up the one way jersey uses it: on one device, or on as many as torchrun starts processes.

Several processes train by DDP what one would train, as far as that goes: they share each batch, and the mean of their
gradients is the batch's. Batch normalization sees the whole batch where it can, on GPUs (SyncBatchNorm refuses the
CPU). On the CPU each process normalises its share, and the running statistics are those of rank zero.
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
"""What a precision computes in, where that is less than single precision."""


def callback_dict(**members: Callback | None) -> dict[str, Callback | None]:
    """A dict, as a callable: config paths to its members read `callbacks.ema.decay`."""
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
    """A trainer that works in `run_dir`; loggers and callbacks join `run_state`, the module's.

    Args:
        callbacks: by name; None leaves one out.
        precision: "auto" takes bf16 or fp16 autocast on a GPU (see `precision_for`) and fp32 elsewhere.
        accelerator: "auto" takes the GPU where there is one; "cpu" does not.
        clip_norm: gradients are scaled down to this norm; None for no clipping.
        accumulate: batches an optimizer step.
        deterministic: let torch refuse operations whose result differs between two runs on a GPU.
        limit_batches: batches an epoch, of every split; None for all.
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
        benchmark=not deterministic,  # cudnn tries its kernels once: batches have one shape
        **limits,
        **fixed,
    )


def _fixed(run: RunState, *, on_gpu: bool) -> dict[str, Any]:
    """What no config sets: one device, or as many as torchrun has started processes, and jersey's own ways.

    Raises:
        UserError: a machine has fewer GPUs than torchrun has started processes.
    """
    gpus, local, processes = torch.cuda.device_count(), local_world_size(), world_size()
    if on_gpu and local > gpus:
        raise UserError(
            f"torchrun has started {local} processes on a machine of {gpus} GPUs; start it with "
            f"--nproc_per_node={gpus}, or set trainer.accelerator=cpu"
        )
    # DDP waits for the gradient of every weight, unless it is told to look which ones a batch has.
    ddp = "ddp_find_unused_parameters_true" if run.freezes_weights else "ddp"
    return {
        "devices": local,
        "num_nodes": processes // local,
        "strategy": ddp if processes > 1 else "auto",
        "sync_batchnorm": on_gpu and processes > 1,
        "use_distributed_sampler": False,  # `jersey.data.loader` knows its share
        "plugins": [run.checkpoint_io],
        "num_sanity_val_steps": 0,  # the first validation comes after one short epoch anyway
        "enable_model_summary": False,
    }


def precision_for(accelerator: str) -> Precision:
    """fp32 on the CPU; on a GPU bf16 where the hardware has it, else fp16, whose loss scale Lightning watches."""
    if not _is_on_gpu(accelerator):
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"


def _is_on_gpu(accelerator: str) -> bool:
    return accelerator != "cpu" and torch.cuda.is_available()
