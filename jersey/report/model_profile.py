"""Profiles a model: parameters, FLOPs, file sizes, memory and speed, measured once after the export.

Times are medians on this machine under its current load, so they are only a rough guide.

Shapes: B crops, H W the network's input size.
"""

import copy
import platform
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from jersey.inference.onnx_model import OnnxModel

CPU = torch.device("cpu")
MAX_REPEATS = 200  # of one timing; more hardly change its median
BATCH_SIZES = {"cpu": 16, "cuda": 256}  # for the throughput, by type of device; larger batches hardly increase it


def profile_model(
    network: nn.Module,
    *,
    size_px: tuple[int, int],
    device: torch.device,
    checkpoint: Path,
    onnx: Path,
    budget_s: float = 0.5,
) -> dict[str, Any]:
    """Returns the measurements by name, which can be written as JSON; `profile_rows` formats them.

    Args:
        network: module from uint8 crops to logits, in any mode and on any device; it is not changed.
        size_px: height and width of its input.
        device: device for the timing of torch; onnxruntime is timed on the CPU.
        checkpoint: checkpoint file, whose size is reported.
        onnx: exported file.
        budget_s: time limit of each of the four timings in seconds.
    """
    memory = _peak_memory(device)  # before the profile itself allocates memory
    copied = copy.deepcopy(network).to(device).eval()
    model = OnnxModel(onnx)
    crops_BCHW = torch.zeros((max(BATCH_SIZES.values()), 3, *size_px), dtype=torch.uint8)

    def run_torch(batch: int) -> None:
        with torch.inference_mode():
            copied(crops_BCHW[:batch].to(device)).cpu()  # the copy back also synchronizes with a GPU

    def run_onnxruntime(batch: int) -> None:
        model.logits(crops_BCHW[:batch].numpy(), batch_size=batch)

    runtimes = {
        "torch": (run_torch, device, torch.get_num_threads()),
        "onnxruntime": (run_onnxruntime, CPU, model.session.get_session_options().intra_op_num_threads or "default"),
    }
    speeds = {
        name: {"threads": threads, **_speed(run, where, budget_s)}
        for name, (run, where, threads) in tqdm(runtimes.items(), desc="timing the model", disable=None)
    }
    return {
        "parameters": parameter_counts(network),
        "input_px": list(size_px),
        "flops": flops(copied, crops_BCHW[:1].to(device)),
        "checkpoint_bytes": checkpoint.stat().st_size,
        "onnx_bytes": onnx.stat().st_size,
        "peak_memory": memory,
        **speeds,
    }


def parameter_counts(network: nn.Module) -> dict[str, int]:
    """Counts the parameters: "all", "trainable", and those of each direct submodule that has any, by its name."""
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    parts = {name: count for name, count in counts.items() if count}
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return {"all": sum(p.numel() for p in network.parameters()), "trainable": trainable, **parts}


def flops(network: nn.Module, crop_1CHW: torch.Tensor) -> int:
    """Returns the FLOPs of convolutions and matrix products; as in torch, a multiply-add counts as 2.

    Args:
        network: module from uint8 crops to logits.
        crop_1CHW: one crop, uint8 [1, 3, H, W].
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(crop_1CHW)
    return counter.get_total_flops()


def _speed(predict: Callable[[int], None], device: torch.device, budget_s: float) -> dict[str, Any]:
    batch_size = BATCH_SIZES[device.type]
    one_s, batch_s = (_median_s(partial(predict, batch), budget_s) for batch in (1, batch_size))
    rates = {"latency_ms": 1000 * one_s, "batch_size": batch_size, "crops_per_s": batch_size / batch_s}
    return {"device": _name(device), **rates}


def _median_s(run: Callable[[], None], budget_s: float) -> float:
    """Returns the median time of all calls but the first (a warm-up), or the first if it exceeds the budget."""
    # Not torch.utils.benchmark: importing it warns on a machine with a CUDA toolkit and no GPU.
    times_s: list[float] = []
    while len(times_s) < 2 or (sum(times_s) < budget_s and len(times_s) < MAX_REPEATS):
        started = time.perf_counter()
        run()
        times_s.append(time.perf_counter() - started)
        if times_s[0] > budget_s:
            return times_s[0]
    return statistics.median(times_s[1:])


def _peak_memory(device: torch.device) -> dict[str, Any]:
    if device.type == "cuda":
        return {"bytes": torch.cuda.max_memory_allocated(device), "of": "tensors on the GPU, including training"}
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"bytes": unit_bytes * peak, "of": "the whole process, including data set and training"}


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text() if cpuinfo.exists() else "", re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def profile_rows(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Formats the measurements of `profile_model` as table rows: name and value."""
    counts = dict(info["parameters"])
    total, trainable = counts.pop("all"), counts.pop("trainable")
    parts = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    height_px, width_px = info["input_px"]
    mb = {name: f"{info[f'{name}_bytes'] / 1e6:,.1f} MB" for name in ("onnx", "checkpoint")}
    memory = info["peak_memory"]
    return [
        ("parameters", f"{total:,} ({parts}), {'all' if trainable == total else f'{trainable:,}'} of them trainable"),
        ("compute", f"{info['flops'] / 1e9:.3g} GFLOP per crop of {width_px} x {height_px} px (a multiply-add is 2)"),
        ("files", f"ONNX {mb['onnx']}, checkpoint {mb['checkpoint']}"),
        ("peak memory", f"{memory['bytes'] / 1e6:,.1f} MB: {memory['of']}"),
        *((runtime, _speed_text(info[runtime])) for runtime in ("torch", "onnxruntime")),
    ]


def _speed_text(speed: Mapping[str, Any]) -> str:
    return (
        f"{speed['latency_ms']:,.1f} ms for one crop, {speed['crops_per_s']:,.0f} crops/s in batches of "
        f"{speed['batch_size']}; {speed['device']}, CPU threads: {speed['threads']}"
    )
