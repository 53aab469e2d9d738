"""Lets several processes, started by torchrun on one or more machines, train one model.

    torchrun --standalone --nproc_per_node=8 launch.py --exp=...

torchrun sets the rank of each process in its environment, and no config depends on it. Lightning's DDP averages the
gradients; this module does all other synchronization. Without torchrun there is one process, rank zero, and nothing to
synchronize. https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables

torch is imported on first use, because `exit_on_user_error` imports this module in commands that do not need torch.

Shapes: N rows, the same number in every process.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

TIMEOUT = timedelta(hours=6)  # one process may generate or decode a large data set while the others wait
PRINT_TIMEOUT = timedelta(seconds=10)  # a process that prints one line needs less, unless it was killed
POLL_S = 0.5  # less than a new start takes until it needs the lock of its run
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
SWEEP_PID = "JERSEY_SWEEP_PID"  # environment variable of the runs of a sweep
# Keys of torchrun's store: the number of processes that had a line to print, and whether one has printed it.
PRINTERS, PRINTED = "jersey/printers", "jersey/printed"


def world_size() -> int:
    """Returns the number of processes on all machines."""
    return _from_torchrun("WORLD_SIZE", default=1)


def rank() -> int:
    """Returns the rank of this process; rank zero owns the run folder."""
    return _from_torchrun("RANK", default=0)


def local_world_size() -> int:
    """Returns the number of processes on this machine."""
    return _from_torchrun("LOCAL_WORLD_SIZE", default=1)


def _from_torchrun(variable: str, *, default: int) -> int:
    return int(os.environ[variable]) if _is_under_torchrun() else default


def _is_under_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ  # other tools set WORLD_SIZE too, even around a single process


def end_with_parent() -> None:
    """Ends this process soon after torchrun or the sweep that started it, which cannot end it if killed by SIGKILL.

    It would train on unnoticed and keep the lock of the run, so that the same command could not resume it.
    """
    parent = os.getppid()
    if _is_under_torchrun():
        threading.Thread(target=_wait_for_end_of, args=("torchrun", parent), daemon=True).start()
    elif os.environ.get(SWEEP_PID) == str(parent):
        threading.Thread(target=_wait_for_end_of, args=("the sweep", parent), daemon=True).start()


def _wait_for_end_of(name: str, parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    if rank() == 0:
        message = f"\nerror: {name} was killed, so this run ends; the same command resumes it\n"
        os.write(2, message.encode())
    os._exit(1)


def rank_counters() -> tuple[int, ...]:
    """Returns the counters of `derived_generator` that give each process its own random numbers; () for one process."""
    return (rank(),) if world_size() > 1 else ()


def visible_gpus() -> list[str]:
    """Returns the GPUs of this machine that the process may use, as they are named in `VISIBLE_GPUS`."""
    if VISIBLE_GPUS in os.environ:
        return [each.strip() for each in os.environ[VISIBLE_GPUS].split(",") if each.strip()]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


@contextmanager
def process_group() -> Iterator[None]:
    """Creates the process group around the body; all processes leave it together unless one fails.

    Lightning uses an existing process group. CPU tensors go through gloo, so a run on the CPU of a machine with GPUs
    does not touch them, and Lightning can choose each process's GPU before its first use through nccl.
    """
    if world_size() == 1:
        yield
        return
    import torch
    from torch import distributed

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    _store().set_timeout(TIMEOUT)
    distributed.init_process_group(backend, store=_store(), rank=rank(), world_size=world_size(), timeout=TIMEOUT)
    yield
    barrier()  # not after a failure: torchrun ends the other processes, and waiting for a dead one would never end
    distributed.destroy_process_group()


def barrier() -> None:
    """Waits until every process has called it."""
    if world_size() > 1:
        from torch import distributed

        distributed.barrier()


@contextmanager
def rank_zero_first() -> Iterator[None]:
    """Runs the body in rank zero, then in the others, which find its files already there if they share its disk."""
    if rank() > 0:
        barrier()
    yield
    if rank() == 0:
        barrier()


def broadcast(value: T) -> T:
    """Returns rank zero's value in every process; the values of the others are ignored, and all must be picklable."""
    if world_size() == 1:
        return value
    from torch import distributed

    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def all_gather(value: T) -> list[T]:
    """Returns the values of all processes, which must be picklable, by rank."""
    if world_size() == 1:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values


def all_gather_interleaved(own_N: "Tensor") -> "Tensor":
    """Returns the rows of all processes: the first of each, then the second of each, and so on.

    Args:
        own_N: rows of this process, of any shape [N,...] and type.

    Returns:
        Rows of all processes, [N * `world_size()`,...].
    """
    if world_size() == 1:
        return own_N
    import torch
    from torch import distributed

    parts = [torch.empty_like(own_N) for _ in range(world_size())]
    distributed.all_gather(parts, own_N.contiguous())
    return torch.stack(parts, dim=1).flatten(0, 1)


def rank_slice(rows_N: "Tensor") -> "Tensor":
    """Returns this process's rows of a result of `all_gather_interleaved`."""
    return rows_N[rank() :: world_size()]


def print_once(text: str) -> None:
    """Prints on stderr in one process; the others wait for it, because torchrun ends all when the first exits."""
    if world_size() == 1:
        print(text, file=sys.stderr)
    elif _store().add(PRINTERS, 1) == 1:
        print(text, file=sys.stderr, flush=True)
        _store().set(PRINTED, "")
    else:
        with suppress(RuntimeError):
            _store().wait([PRINTED], PRINT_TIMEOUT)


def error_was_printed() -> bool:
    """Returns whether a process has printed its error; later failures of other processes are a consequence of it."""
    if world_size() == 1:
        return False
    try:
        return _store().check([PRINTED])
    except RuntimeError:  # torchrun has ended too
        return False


@cache
def _store() -> Any:
    """Returns torchrun's store, which exists before the process group does and after a process has failed."""
    from torch.distributed import rendezvous

    store, _, _ = next(rendezvous("env://"))
    return store
