"""Several processes that train one model, on the GPUs of one machine or of many, as torchrun starts them.

    torchrun --standalone --nproc_per_node=8 launch.py --exp=...

torchrun tells each process its place in the environment, and no config knows of it. Lightning's DDP averages the
gradients; here is what else the processes have to agree on. Without torchrun there is one process, rank zero, and all
of this does nothing. https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables

torch is imported on first use: the commands that need none use `exit_on_user_error`, and with it this file.

Shapes: N rows, the same number in every process.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

TIMEOUT = timedelta(hours=6)  # one process may draw or decode a large data set while the others wait
A_LINE = timedelta(seconds=10)  # is printed by then
SAID = "jersey/said"  # a key of torchrun's store


def world_size() -> int:
    """How many processes there are, on all machines."""
    return _by_torchrun("WORLD_SIZE", alone=1)


def rank() -> int:
    """Which of them this is; rank zero keeps the run folder."""
    return _by_torchrun("RANK", alone=0)


def local_world_size() -> int:
    """How many processes there are on this machine."""
    return _by_torchrun("LOCAL_WORLD_SIZE", alone=1)


def _by_torchrun(variable: str, *, alone: int) -> int:
    # Others set WORLD_SIZE too, around a process that is meant to be alone.
    return int(os.environ[variable]) if "TORCHELASTIC_RUN_ID" in os.environ else alone


def rank_counters() -> tuple[int, ...]:
    """For counted randomness: what sets a process apart from the others, nothing where it is alone."""
    return (rank(),) if world_size() > 1 else ()


@contextmanager
def process_group() -> Iterator[None]:
    """Around all that the processes do together; they leave together, too, unless one fails.

    Lightning takes the process group as it finds it. What is said on the CPU (gloo) needs no GPU, so a run on the CPU
    of a machine with GPUs leaves them alone, and Lightning can choose each process's GPU before its first use (nccl).
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
    barrier()  # torchrun ends what is left over a failure; a process that waited for the dead would not end
    distributed.destroy_process_group()


def barrier() -> None:
    """Returns when every process has come here."""
    if world_size() > 1:
        from torch import distributed

        distributed.barrier()


@contextmanager
def rank_zero_first() -> Iterator[None]:
    """Around what makes files: rank zero does it alone, then the others, who find it done where they see its disk."""
    if rank() > 0:
        barrier()
    yield
    if rank() == 0:
        barrier()


def broadcast(value: T) -> T:
    """What rank zero has given, in every process."""
    if world_size() == 1:
        return value
    from torch import distributed

    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def all_gather_interleaved(own_N: "Tensor") -> "Tensor":
    """The rows of all processes: the first of each, the second of each, and so on."""
    if world_size() == 1:
        return own_N
    import torch
    from torch import distributed

    parts = [torch.empty_like(own_N) for _ in range(world_size())]
    distributed.all_gather(parts, own_N.contiguous())
    return torch.stack(parts, dim=1).flatten(0, 1)


def rank_slice(rows_N: "Tensor") -> "Tensor":
    """This process's rows of what `all_gather_interleaved` gave."""
    return rows_N[rank() :: world_size()]


def print_once(text: str) -> None:
    """Prints on stderr, unless another process has; the others wait for it, as torchrun ends all when one has ended."""
    if world_size() == 1:
        print(text, file=sys.stderr)
    elif _store().add("jersey/speakers", 1) == 1:
        print(text, file=sys.stderr, flush=True)
        _store().set(SAID, "")
    else:
        with suppress(RuntimeError):
            _store().wait([SAID], A_LINE)


def error_was_printed() -> bool:
    """Whether a process has printed once; what fails in another one after that fails because that one has gone."""
    if world_size() == 1:
        return False
    try:
        return _store().check([SAID])
    except RuntimeError:  # torchrun has gone, too
        return False


@cache
def _store() -> Any:
    """torchrun's, which is there before the processes have joined, and after one has failed."""
    from torch.distributed import rendezvous

    store, _, _ = next(rendezvous("env://"))
    return store
