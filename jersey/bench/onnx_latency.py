"""Compares onnxruntime and `Predictor` with eager torch: latency of one crop and throughput of batches.

    python -m jersey.bench.onnx_latency
    python -m jersey.bench.onnx_latency runs/resnet18_small/20261121-101500
    python -m jersey.bench.onnx_latency --px 64 --batch_sizes 1 64 1024

Without a run, the network is a ResNet-18 with random weights at 64 and at 128 px. All candidates take turns in one
process on the CPU, except for the last two, with torch's number of threads (`OMP_NUM_THREADS`), on synthetic crops of
the network's input size.

- torch: the trained network;
- onnx: the exported file, which resizes the crops first;
- onnx, no resize: the same file without the resize, which shows the cost of the resize;
- fp16, int8: the variants, even if the export would refuse them (int8 is calibrated on a few synthetic crops, which
  changes its predictions but not its speed);
- predictor: `jersey.inference.Predictor`, from decoded crops to predictions;
- predictor, files: the same, from JPEG files;
- predictor, one by one: a loop that calls `Predictor.predict` for each decoded crop;
- torch, GPU: the trained network on the GPU, with the copies of the crops and of the logits, if there is a GPU;
- onnx, GPU: the exported file on the GPU, if onnxruntime has the CUDA provider.

The overhead is the fraction of the predictor's time that the exported file alone does not need. If it is above 15 % at
the largest batch size, or of the loop at the smallest one, the exit code is 1, unless all batches are below 64.

Shapes: N or B crops of a batch, M distinct crops, H W size of the network's input.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image

from jersey import config as configs
from jersey.bench import harness
from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.core.timing import interleaved_times, speedup
from jersey.export.export_module import ExportModule, ExportSettings
from jersey.export.int8 import write_int8
from jersey.export.onnx_file import write_onnx
from jersey.inference import Predictor
from jersey.inference.onnx_model import PROVIDERS, OnnxModel, resolve_providers
from jersey.lint.checks import load
from jersey.models.network import classifier
from jersey.runs.folder import BEST_CHECKPOINT
from jersey.synth.crop import render_crop
from jersey.synth.typefaces import TRAIN

SIDES_PX = (64, 128)
CLASSES = 100
BATCH_SIZES = (1, 64)
ROUNDS, ROUNDS_OF_ONE = 3, 15  # rounds of one crop are short
MAX_OVERHEAD = 0.15  # fraction of the predictor's time
MIN_JUDGED_BATCH = 64  # in smaller batches, the fixed cost of a call is large


def random_network(side_px: int) -> ExportModule:
    """Returns a ResNet-18 with random weights for crops of `side_px` pixels per side."""
    torch.manual_seed(0)
    labels = Labels.from_names(map(str, range(CLASSES)))
    network = classifier(labels=labels, weights=None).train()
    with torch.no_grad():
        noise_BCHW = torch.randint(0, 256, (8, 3, side_px, side_px), dtype=torch.uint8)
        network(noise_BCHW)  # statistics for batch normalization
    settings = ExportSettings(labels=labels, size_px=(side_px, side_px), resize_mode="stretch")
    return ExportModule(network, settings)


def network_of_run(folder: Path) -> ExportModule:
    """Returns the network of a run with its best weights; raises a UserError if the folder has none."""
    _, config = load(folder)
    if not (folder / BEST_CHECKPOINT).exists():
        raise UserError(f"{folder} has no {BEST_CHECKPOINT}; choose a run that has finished an epoch")
    experiment = configs.build(config)
    data = experiment.data(seed=experiment.seed)
    module = experiment.best_module(folder)
    settings = ExportSettings(labels=module.labels, size_px=data.size_px, resize_mode=data.resize_mode)
    return ExportModule(module.network, settings)


def measure(
    folder: Path | None = None, px: tuple[int, ...] = SIDES_PX, batch_sizes: tuple[int, ...] = BATCH_SIZES
) -> dict[str, Any]:
    """Prints one table per network and batch size.

    Args:
        folder: run folder with the network, such as runs/quickstart/20261121-101500; by default random weights.
        px: sides of the input of networks with random weights in pixels, such as 64 224.
        batch_sizes: numbers of crops per batch, such as 1 64 1024.
    """
    if folder:
        networks = {str(folder): network_of_run(folder)}
    else:
        networks = {f"resnet18, {side_px} px": random_network(side_px) for side_px in px}
    rounds = {batch: ROUNDS_OF_ONE if batch == 1 else ROUNDS for batch in batch_sizes}
    result, overheads = {}, []
    for name, network in networks.items():
        by_batch = times_of(network, rounds)
        for batch, candidate in ((max(by_batch), "predictor"), (min(by_batch), "predictor, one by one")):
            overheads.append(1 - speedup(by_batch[batch]["onnx"], by_batch[batch][candidate]).median)
        result[name] = {
            f"batch {batch}": harness.print_speeds(f"{name}, batch {batch}", times_s, baseline="onnx", crops=batch)
            for batch, times_s in by_batch.items()
        }
    overhead = max(overheads)
    print(f"overhead of the predictor: at most {100 * overhead:.1f} % of its time, in batches and one by one")
    passed = overhead <= MAX_OVERHEAD or max(batch_sizes) < MIN_JUDGED_BATCH
    numbers = {"overhead": round(overhead, 4), "max_overhead": MAX_OVERHEAD, "passed": passed}
    return {"networks": result, **numbers}


def times_of(module: ExportModule, rounds: dict[int, int]) -> dict[int, harness.Times]:
    """Returns the seconds per batch, by batch size and candidate, one value per round.

    Args:
        module: network with its export settings.
        rounds: number of rounds by batch size.
    """
    with TemporaryDirectory() as folder:
        paths = _export(module, Path(folder))
        return {batch: _times_s(module, paths, batch, rounds[batch]) for batch in rounds}


def _export(module: ExportModule, folder: Path) -> dict[str, Path]:
    paths = {name: folder / f"{name}.onnx" for name in ("onnx", "onnx, no resize", "fp16", "int8")}
    calibration = crops_of(8, module.settings.size_px).transpose(0, 3, 1, 2).copy()
    write_onnx(module, paths["onnx"], {})
    write_onnx(module.changed(is_static=True), paths["onnx, no resize"], {})
    write_onnx(module.changed(is_half=True), paths["fp16"], {})
    write_int8(paths["onnx"], paths["int8"], module.metadata, calibration_NCHW=calibration)
    return paths


def _times_s(module: ExportModule, paths: dict[str, Path], batch: int, rounds: int) -> harness.Times:
    crops_NHW3 = crops_of(batch, module.settings.size_px)
    images_NCHW = np.ascontiguousarray(crops_NHW3.transpose(0, 3, 1, 2))
    crops_BCHW, threads = torch.from_numpy(images_NCHW), torch.get_num_threads()
    predictor = Predictor(paths["onnx"], batch_size=batch, threads=threads)
    files = [paths["onnx"].with_name(f"{index}.jpg") for index in range(batch)]
    for file, crop_HW3 in zip(files, crops_NHW3, strict=True):
        Image.fromarray(crop_HW3).save(file)

    def run_torch() -> None:
        with torch.inference_mode():
            module.network(crops_BCHW)

    candidates: dict[str, Any] = {"torch": run_torch}
    for name, path in paths.items():
        model = OnnxModel(path, threads=threads)
        candidates[name] = lambda model=model: model.output("probabilities", images_NCHW, batch_size=batch)
    candidates["predictor"] = lambda: list(predictor.predict_all(crops_NHW3))
    candidates["predictor, files"] = lambda: list(predictor.predict_all(files))
    candidates["predictor, one by one"] = lambda: [predictor.predict(crop_HW3) for crop_HW3 in crops_NHW3]
    candidates |= _on_gpu(module, paths["onnx"], images_NCHW)
    return interleaved_times(candidates, rounds=rounds)


def _on_gpu(module: ExportModule, path: Path, images_NCHW: np.ndarray) -> dict[str, Callable[[], object]]:
    """Returns the candidates on the GPU, from crops to outputs in the memory of the CPU, by name."""
    candidates: dict[str, Callable[[], object]] = {}
    if torch.cuda.is_available():
        network, crops_BCHW = copy.deepcopy(module.network).cuda(), torch.from_numpy(images_NCHW)

        def run_torch() -> None:
            with torch.inference_mode():
                network(crops_BCHW.cuda()).cpu()

        candidates["torch, GPU"] = run_torch
    if PROVIDERS["cuda"] in (providers := resolve_providers(None)):
        model = OnnxModel(path, providers=providers)
        candidates["onnx, GPU"] = lambda: model.output("probabilities", images_NCHW, batch_size=len(images_NCHW))
    return candidates


def crops_of(count: int, size_px: tuple[int, int]) -> np.ndarray:
    """Returns `count` synthetic crops, uint8 [N,H,W,3], in which three distinct ones are repeated."""
    rng = np.random.default_rng(0)
    few = [render_crop(number, rng=rng, typefaces=TRAIN, size_px=max(size_px)) for number in ("7", "23", "00")]
    resized_MHW3 = np.stack([np.asarray(Image.fromarray(crop.image_HW3).resize(size_px[::-1])) for crop in few])
    return resized_MHW3[np.arange(count) % len(few)]


if __name__ == "__main__":
    harness.command("onnx_latency", __doc__, measure)
