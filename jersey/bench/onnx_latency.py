"""onnxruntime and `Predictor` against torch eager: how long one crop takes, and how many a second pass in batches.

    python -m jersey.bench.onnx_latency
    python -m jersey.bench.onnx_latency runs/resnet18_small/20261121-101500

Without a run, a ResNet-18 with random weights at 64 and at 128 px. All is on the CPU and on as many threads as torch
takes (`OMP_NUM_THREADS`), in one process, in turn, on drawn crops of the network's own size.

- torch: the network as it is trained;
- onnx: the exported file, which fits the crops first;
- onnx, no fit: the same without that, to see what it costs;
- fp16, int8: the variants, whether or not they would be offered (int8 is calibrated on a few drawn crops here, which
  changes what it reads and not how long it takes);
- predictor: `jersey.inference.Predictor` on decoded crops, until it has given readings, and on JPEG files.

The predictor's own share is what it takes beyond the file: at most 15 % at batch 64, or the exit code is 1.

Shapes: N crops of a batch, B the same for torch, H W the network's size.
"""

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
from jersey.experiment import load_best_weights
from jersey.export.export_module import ExportModule, ExportSettings
from jersey.export.int8 import write_int8
from jersey.export.onnx_file import write_onnx
from jersey.inference import Predictor
from jersey.inference.onnx_model import OnnxModel
from jersey.lint.checks import load
from jersey.models.network import resnet_classifier
from jersey.runs.folder import BEST_CHECKPOINT, LABELS
from jersey.synth.crop import render_crop
from jersey.synth.typefaces import TRAIN

SIDES_PX = (64, 128)
CLASSES = 100
ROUNDS = {1: 15, 64: 3}  # by batch size
MOST = 0.15  # of the time at the largest batch


def random_network(side_px: int) -> ExportModule:
    """A ResNet-18 that has seen noise, so that batch normalization has statistics."""
    torch.manual_seed(0)
    labels = Labels.from_names(map(str, range(CLASSES)))
    network = resnet_classifier(labels=labels, weights=None).train()
    with torch.no_grad():
        network(torch.randint(0, 256, (8, 3, side_px, side_px), dtype=torch.uint8))
    settings = ExportSettings(labels=labels, size_px=(side_px, side_px), resize_mode="stretch")
    return ExportModule(network, settings)


def network_of_run(folder: Path) -> ExportModule:
    """The best weights of a run; raises UserError for a folder that has none."""
    _, config = load(folder)
    if not (folder / BEST_CHECKPOINT).exists():
        raise UserError(f"{folder} holds no {BEST_CHECKPOINT}; name a run that has finished an epoch")
    experiment = configs.build(config)
    data = experiment.data(seed=experiment.seed)
    labels = Labels.load(folder / LABELS)
    module = experiment.module(labels=labels, class_counts=[1] * len(labels), seed=experiment.seed)
    load_best_weights(module, folder / BEST_CHECKPOINT)
    settings = ExportSettings(labels=labels, size_px=data.size_px, resize_mode=data.resize_mode)
    return ExportModule(module.network, settings)


def measure(folder: Path | None = None) -> dict[str, Any]:
    """Prints a table a network."""
    if folder:
        networks = {str(folder): network_of_run(folder)}
    else:
        networks = {f"resnet18, {side_px} px": random_network(side_px) for side_px in SIDES_PX}
    result, shares = {}, []
    for name, network in networks.items():
        by_batch = times_of(network, ROUNDS)
        largest_s = by_batch[max(by_batch)]
        shares.append(1 - speedup(largest_s["onnx"], largest_s["predictor"]).median)
        result[name] = {
            f"batch {batch}": harness.tell(f"{name}, batch {batch}", times_s, against="onnx", crops=batch)
            for batch, times_s in by_batch.items()
        }
    share = max(shares)
    print(f"{share:.1%} of the predictor's time on arrays is its own, at the largest batch")
    return {"networks": result, "own_share": round(share, 4), "most": MOST, "passed": share <= MOST}


def times_of(deployed: ExportModule, rounds: dict[int, int]) -> dict[int, harness.Times]:
    """Seconds a batch, a value a round, by batch size and candidate."""
    with TemporaryDirectory() as folder:
        paths = _export(deployed, Path(folder))
        return {batch: _times_s(deployed, paths, batch, rounds[batch]) for batch in rounds}


def _export(deployed: ExportModule, folder: Path) -> dict[str, Path]:
    paths = {name: folder / f"{name}.onnx" for name in ("onnx", "onnx, no fit", "fp16", "int8")}
    calibration = crops_of(8, deployed.settings.size_px).transpose(0, 3, 1, 2).copy()
    write_onnx(deployed, paths["onnx"], {})
    write_onnx(deployed.changed(is_static=True), paths["onnx, no fit"], {})
    write_onnx(deployed.changed(is_half=True), paths["fp16"], {})
    write_int8(paths["onnx"], paths["int8"], deployed.metadata, calibration_NCHW=calibration)
    return paths


def _times_s(deployed: ExportModule, paths: dict[str, Path], batch: int, rounds: int) -> harness.Times:
    crops_NHW3 = crops_of(batch, deployed.settings.size_px)
    images_NCHW = np.ascontiguousarray(crops_NHW3.transpose(0, 3, 1, 2))
    crops_BCHW, threads = torch.from_numpy(images_NCHW), torch.get_num_threads()
    predictor = Predictor(paths["onnx"], batch_size=batch, threads=threads)
    files = [paths["onnx"].with_name(f"{index}.jpg") for index in range(batch)]
    for file, crop_HW3 in zip(files, crops_NHW3, strict=True):
        Image.fromarray(crop_HW3).save(file)

    def torch_reads() -> None:
        with torch.inference_mode():
            deployed.network(crops_BCHW)

    candidates: dict[str, Any] = {"torch": torch_reads}
    for name, path in paths.items():
        model = OnnxModel(path, threads=threads)
        candidates[name] = lambda model=model: model.output("probabilities", images_NCHW, batch_size=batch)
    candidates["predictor"] = lambda: list(predictor.predict_all(crops_NHW3))
    candidates["predictor, files"] = lambda: list(predictor.predict_all(files))
    return interleaved_times(candidates, rounds=rounds)


def crops_of(count: int, size_px: tuple[int, int]) -> np.ndarray:
    """Drawn crops, uint8 [N,H,W,3]; a few, again and again."""
    rng = np.random.default_rng(0)
    few = [render_crop(number, rng=rng, typefaces=TRAIN, size_px=max(size_px)) for number in ("7", "23", "00")]
    resized_MHW3 = np.stack([np.asarray(Image.fromarray(crop.image_HW3).resize(size_px[::-1])) for crop in few])
    return resized_MHW3[np.arange(count) % len(few)]


if __name__ == "__main__":
    harness.command("onnx_latency", __doc__, measure)
