"""`jersey.bench.epoch` for several networks and sizes, in one table: the command for a machine with a GPU.

    python -m jersey.bench.grid runs/quickstart/RUN --batch_size=256 --batches=50

Takes the run's data set and its settings but for network, size and batch. `busy` is the share of jersey's epochs in
which the GPU computed something (see `jersey.bench.gpu_load`), `GB` the most memory that they held on it, together with
the networks that they are compared with.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jersey.bench.epoch import Measured, measure
from jersey.bench.results import machine
from jersey.core.console import set_up_console
from jersey.core.errors import exit_on_user_error
from jersey.core.tables import aligned
from jersey.core.timing import speedup

RIVALS = ("bare step", "torchvision", "timm")


def row(measured: Measured) -> dict[str, Any]:
    """Crops a second while training, how fast that is beside each rival, and what it asked of the GPU."""
    own_s = measured.training_s["jersey"]
    found = {"crops/s": round(measured.crops / statistics.median(own_s))}
    speeds = {f"x {name}": measured.training_s.get(name) for name in RIVALS}
    return {
        **found,
        **{name: str(speedup(times_s, own_s)) if times_s else None for name, times_s in speeds.items()},
        "busy": None if measured.busy is None else round(measured.busy, 3),
        "GB": None if measured.gpu_gb is None else round(measured.gpu_gb, 2),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A line a row; a dash where something was not measured."""
    cells = [["-" if value is None else str(value) for value in each.values()] for each in rows]
    return "\n".join(aligned([list(rows[0]), *cells]))


def main() -> None:
    """Prints the table as far as it has come after each row, and a line of JSON at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the run whose config to take")
    parser.add_argument("--architectures", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--px", nargs="+", type=int, default=[64, 128, 224])
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--batches", type=int, default=8, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=4, help="epochs to time, after one that warms up")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with exit_on_user_error():
        set_up_console()
        for architecture in options.architectures:
            for px in options.px:
                changes = (
                    f"module.network.architecture={architecture}",
                    f"data.size_px=({px}, {px})",
                    f"data.batch_size={options.batch_size}",
                )
                measured = measure(options.folder, changes, rounds=options.rounds, batches=options.batches)
                rows.append({"network": architecture, "px": px, **row(measured)})
                print(f"\n{table(rows)}", flush=True)
    settings = {"batch_size": options.batch_size, "batches": options.batches}
    print(json.dumps({"bench": "grid", "machine": machine(), **settings, "rows": rows}))


if __name__ == "__main__":
    main()
