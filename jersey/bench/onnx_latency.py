"""onnxruntime against torch eager: how long one crop takes, and how many a second pass in batches.

    python -m jersey.bench.onnx_latency
    python -m jersey.bench.onnx_latency runs/resnet18_small/20261121-101500

Without a run, a ResNet-18 with random weights at 64 and at 128 px. All is on the CPU and on as many threads as torch
takes (`OMP_NUM_THREADS`), in one process, in turn; a ratio is the median over rounds, with its quartiles.

- torch: the network as it is trained, on crops of its own size;
- onnx: the exported file, which fits the crops first;
- onnx, no fit: the same without that, to see what it costs;
- fp16, int8: the variants, whether or not they would be offered (int8 is calibrated on noise here, which changes what
  it reads and not how long it takes).
"""

import argparse
import json
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from jersey import config as configs
from jersey.core.console import set_up_console
from jersey.core.errors import UserError, exit_on_user_error
from jersey.core.labels import Labels
from jersey.core.tables import aligned
from jersey.core.timing import in_turn, speedup
from jersey.experiment import load_scored_weights
from jersey.export.export_module import DeployedNetwork, deployed_copy
from jersey.export.fp16 import write_fp16
from jersey.export.int8 import write_int8
from jersey.export.onnx_file import write_onnx
from jersey.export.static import write_fixed
from jersey.inference.onnx_model import OnnxModel
from jersey.lint.checks import load
from jersey.models.network import resnet_classifier
from jersey.runs.folder import BEST_CHECKPOINT, LABELS

SIDES_PX = (64, 128)
CLASSES = 100
ROUNDS = {1: 15, 64: 3}  # by batch size


def random_network(side_px: int) -> DeployedNetwork:
    """A ResNet-18 that has seen noise, so that batch normalisation has statistics."""
    torch.manual_seed(0)
    labels = Labels.from_names(map(str, range(CLASSES)))
    network = resnet_classifier(labels=labels, weights=None).train()
    with torch.no_grad():
        network(_noise(8, (side_px, side_px)))
    return deployed_copy(network, labels=labels, size_px=(side_px, side_px), fit_mode="stretch")


def network_of_run(folder: Path) -> DeployedNetwork:
    """The best weights of a run.

    Raises:
        UserError: it is no run, or has no best weights yet.
    """
    _, config = load(folder)
    if not (folder / BEST_CHECKPOINT).exists():
        raise UserError(f"{folder} holds no {BEST_CHECKPOINT}; name a run that has finished an epoch")
    experiment = configs.build(config)
    data = experiment.data(seed=experiment.seed)
    labels = Labels.load(folder / LABELS)
    module = experiment.module(labels=labels, class_counts=[1] * len(labels), seed=experiment.seed)
    load_scored_weights(module, folder / BEST_CHECKPOINT)
    return deployed_copy(module.network, labels=labels, size_px=data.size_px, fit_mode=data.fit_mode)


def measure(deployed: DeployedNetwork, rounds: dict[int, int]) -> dict[int, dict[str, list[float]]]:
    """Seconds a batch, a value a round, by batch size and way."""
    with TemporaryDirectory() as folder:
        models = _export(deployed, Path(folder))
        return {batch: _measure(deployed.network, models, deployed.size_px, batch, rounds[batch]) for batch in rounds}


def _export(deployed: DeployedNetwork, folder: Path) -> dict[str, OnnxModel]:
    paths = {name: folder / f"{name}.onnx" for name in ("onnx", "onnx, no fit", "fp16", "int8")}
    write_onnx(deployed, paths["onnx"], {})
    write_fixed(deployed, paths["onnx, no fit"], {})
    write_fp16(deployed, paths["fp16"], {})
    write_int8(paths["onnx"], paths["int8"], deployed.facts, calibration_NCHW=_noise(8, deployed.size_px).numpy())
    return {name: OnnxModel(path, threads=torch.get_num_threads()) for name, path in paths.items()}


def _measure(
    network: nn.Module, models: dict[str, OnnxModel], size_px: tuple[int, int], batch: int, rounds: int
) -> dict[str, list[float]]:
    crops_BCHW = _noise(batch, size_px)

    def torch_reads() -> None:
        with torch.inference_mode():
            network(crops_BCHW)

    ways: dict[str, Any] = {"torch": torch_reads}
    for name, model in models.items():
        ways[name] = lambda model=model: model.logits(crops_BCHW.numpy(), batch_size=batch)
    return in_turn(ways, rounds=rounds)


def _noise(count: int, size_px: tuple[int, int]) -> Tensor:
    return torch.randint(0, 256, (count, 3, *size_px), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def table(what: str, times_s: dict[int, dict[str, list[float]]]) -> str:
    """A row a batch size and way."""
    rows = [[what, "batch", "ms", "crops/s", "x torch", "x onnx"]]
    for batch, by_way in times_s.items():
        for name, values in by_way.items():
            median_s = statistics.median(values)
            ratios = (str(speedup(by_way[base], values)) for base in ("torch", "onnx"))
            rows.append([name, str(batch), f"{1000 * median_s:.2f}", f"{batch / median_s:.0f}", *ratios])
    return "\n".join(aligned(rows))


def as_json(times_s: dict[int, dict[str, list[float]]]) -> dict[str, Any]:
    """The same for machines."""
    return {
        f"batch {batch}": {
            name: {
                "ms": round(1000 * statistics.median(values), 3),
                **{f"x {base}": str(speedup(by_way[base], values)) for base in ("torch", "onnx")},
            }
            for name, values in by_way.items()
        }
        for batch, by_way in times_s.items()
    }


def main() -> None:
    """Prints a table a network, and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="folder of a run")
    result = {}
    with exit_on_user_error():
        set_up_console()
        run = parser.parse_args().run
        names = [str(run)] if run else [f"resnet18, {side_px} px" for side_px in SIDES_PX]
        networks = [network_of_run(run)] if run else map(random_network, SIDES_PX)
        for name, network in zip(names, networks, strict=True):
            times_s = measure(network, ROUNDS)
            print(table(name, times_s), end="\n\n")
            result[name] = as_json(times_s)
    print(json.dumps({"bench": "onnx_latency", "threads": torch.get_num_threads(), **result}))


if __name__ == "__main__":
    main()
