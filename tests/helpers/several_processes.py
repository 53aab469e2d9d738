"""Several concurrent processes in the environment that torchrun provides, forked as in `launched`.

The test process hosts the store, as torchrun does. Unlike torchrun it does not end a process when another has failed,
so that a test observes how each of them ends.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from helpers.launched import SERVER, run_launch
from torch.distributed import TCPStore

PROCESSES = 2


def side_by_side(target: Callable[..., None], *arguments: Any, timeout_s: float = 240) -> list[int]:
    """Calls a function of an importable module in every process; returns the exit codes by rank."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    processes = [SERVER.Process(target=_as_one_of, args=(each, target, arguments)) for each in environments(store)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout_s)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
        process.join()
    assert None not in codes, f"still running after {timeout_s} s: {codes}"
    return [code for code in codes if code is not None]


def environments(store: TCPStore) -> list[dict[str, str]]:
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_RUN_ID": "test",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(PROCESSES),
        "LOCAL_WORLD_SIZE": str(PROCESSES),
    }
    return [dict(os.environ) | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(PROCESSES)]


def _as_one_of(environment: dict[str, str], target: Callable[..., None], arguments: Sequence[Any]) -> None:
    os.environ.update(environment)
    target(*arguments)


def launched_side_by_side(flags: Sequence[str], *cwds: Path) -> list[CompletedProcess[str]]:
    """Runs `launch.py FLAGS` in each process, all in one folder or each in its own; returns outputs and exit codes."""
    codes = side_by_side(_launch_as_one_of, list(flags), cwds)
    return [
        CompletedProcess(flags, code, *(output.read_text(encoding="utf-8") for output in _outputs(cwds, rank)))
        for rank, code in enumerate(codes)
    ]


def _launch_as_one_of(flags: Sequence[str], cwds: Sequence[Path]) -> None:
    rank = int(os.environ["RANK"])
    run_launch(flags, cwds[rank % len(cwds)], dict(os.environ), _outputs(cwds, rank))


def _outputs(cwds: Sequence[Path], rank: int) -> list[Path]:
    return [cwds[rank % len(cwds)] / f".{rank}.{name}" for name in ("stdout", "stderr")]
