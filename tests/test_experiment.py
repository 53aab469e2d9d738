"""A run without `launch.py`: the weights of the best epoch are tested and exported."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import aim
import fiddle as fdl
import helpers.registered  # noqa: F401  # its import registers the experiments
import numpy as np
import pytest
import torch
from helpers.aim_repository import indexed
from helpers.countdown import rows_of
from helpers.run_folders import full_run
from helpers.small_run import small_network

from jersey import config as configs
from jersey import experiment as stages
from jersey.core.errors import UserError
from jersey.core.labels import Labels
from jersey.core.tables import percent
from jersey.data.datamodule import JerseyDataModule
from jersey.inference.onnx_model import OnnxModel
from jersey.lint.checks import load
from jersey.models.heads import CompositionalHead
from jersey.models.network import classifier
from jersey.runs.folder import RunFolder, open_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(crops_root: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Runs three epochs with a learning rate that is high enough to separate EMA weights and raw weights."""
    config = configs.get_experiment("resnet18_baseline")()
    config.data.root = str(crops_root)
    config.data.size_px = (32, 32)
    config.data.batch_size = 8
    config.module.network.weights = None
    config.module.optimizer.lr = 3e-3
    config.trainer.callbacks.ema.decay = 0.7
    config.trainer.epochs = 3
    config.trainer.accelerator = "cpu"
    config.onnx_variants = ("int8",)
    config.onnx_variant_min_agreement = 0.0
    return full_run(config, "resnet18_baseline", tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def crops(crops_root: Path) -> JerseyDataModule:
    data = JerseyDataModule(str(crops_root), seed=0, size_px=(32, 32))
    data.setup()
    return data


def logits_of(state: dict[str, torch.Tensor], images_NCHW: torch.Tensor) -> np.ndarray:
    """Computes the logits of a network with the `network.` weights of a checkpoint."""
    network = classifier(labels=Labels(("0", "00", "01")), weights=None, head=CompositionalHead).eval()
    network.load_state_dict({name.removeprefix("network."): value for name, value in state.items()})
    with torch.inference_mode():
        return network(images_NCHW).numpy()


def test_the_onnx_file_has_the_accuracy_of_the_best_epoch_and_metadata_of_its_origin(
    finished: RunFolder, crops: JerseyDataModule
) -> None:
    rows = rows_of(finished.path)
    best = max(float(row["val/acc_top1"]) for row in rows if row["val/acc_top1"])
    model = OnnxModel(finished.onnx)
    predicted_N = model.logits(crops.decoded["val"].images_NCHW.numpy()).argmax(axis=1)
    assert (predicted_N == crops.decoded["val"].labels_N.numpy()).mean() == pytest.approx(best, abs=1e-12)
    metadata = model.metadata
    assert json.loads(metadata["val_scores"])["acc_top1"] == best
    assert json.loads(metadata["test_scores"])["acc_top1"] == float(rows[-1]["test/acc_top1"])
    (start,) = json.loads((finished.path / "provenance.json").read_text(encoding="utf-8"))
    origin = {
        "experiment": finished.experiment,
        "run": finished.name,
        "commit": start["commit"],
        "user_commit": "",
        "weights": "ema",
    }
    assert metadata.items() >= {**origin, "data_sha256": crops.sha256}.items()
    assert json.loads(metadata["producers"])["torch"] == version("torch")


def test_the_hash_of_the_data_depends_on_labels_and_image_contents(crops: JerseyDataModule, tmp_path: Path) -> None:
    def read(root: Path) -> str:
        data = JerseyDataModule(str(root), seed=0, size_px=(32, 32))
        data.setup()
        return data.sha256

    moved = Path(shutil.copytree(crops.root, tmp_path / "moved", ignore=shutil.ignore_patterns(".*")))
    before = crops.sha256
    assert read(moved) == before
    one, another, *_ = sorted((moved / "val" / "00").iterdir())
    content = one.read_bytes()
    one.write_bytes(another.read_bytes())
    assert read(moved) != before
    one.write_bytes(content)
    one.rename(moved / "val" / "0" / "z.jpg")
    assert read(moved) != before


def test_probabilities_and_thresholds_match_the_report(finished: RunFolder, crops: JerseyDataModule) -> None:
    model = OnnxModel(finished.path / "model.onnx")
    text = (finished.path / "report.md").read_text(encoding="utf-8")
    assert f"divided by {model.temperature:.3f}" in text
    images, labels_N = (getattr(crops.decoded["test"], name).numpy() for name in ("images_NCHW", "labels_N"))
    probabilities_NK = model.output("probabilities", images)
    confidence_N, correct_N = probabilities_NK.max(axis=1), probabilities_NK.argmax(axis=1) == labels_N
    assert [each.precision for each in model.thresholds] == [0.95, 0.98, 0.99]
    for each in model.thresholds:
        (row,) = (line for line in text.splitlines() if line.startswith(f"| {percent(each.precision)} |"))
        if each.confidence is None:
            assert "not reached" in row
            continue
        accepted_N = confidence_N >= each.confidence
        assert each.test_coverage == pytest.approx(accepted_N.mean())
        assert each.test_precision == (pytest.approx(correct_N[accepted_N].mean()) if accepted_N.any() else None)
        assert f"| {each.confidence:.4f} |" in row


def test_the_ema_weights_are_validated_tested_and_exported(finished: RunFolder, crops: JerseyDataModule) -> None:
    checkpoint = torch.load(finished.best_checkpoint, weights_only=True)
    images_NCHW, labels_N = crops.decoded["test"].images_NCHW, crops.decoded["test"].labels_N.numpy()
    ema_NK = logits_of(checkpoint["state_dict"], images_NCHW)
    raw_NK = logits_of(checkpoint["current_model_state"], images_NCHW)
    exported_NK = OnnxModel(finished.path / "model.onnx").logits(images_NCHW.numpy())
    assert np.abs(ema_NK - raw_NK).max() > 0.01
    assert np.abs(ema_NK - exported_NK).max() < 1e-4
    tested = float(rows_of(finished.path)[-1]["test/acc_top1"])
    assert (ema_NK.argmax(axis=1) == labels_N).mean() == pytest.approx(tested, abs=1e-12)
    losses_N = -torch.from_numpy(ema_NK).log_softmax(dim=1)[torch.arange(len(labels_N)), torch.from_numpy(labels_N)]
    assert losses_N.mean().item() == pytest.approx(float(rows_of(finished.path)[-1]["test/loss"]), rel=1e-4)
    assert checkpoint["jersey"]["eval_weights"] == "ema"


def test_every_file_keeps_the_labels_as_strings(finished: RunFolder) -> None:
    names = ["0", "00", "01"]
    mapping = json.loads(finished.labels.read_text(encoding="utf-8"))
    assert (mapping["labels"], mapping["class_to_idx"]) == (names, {"0": 0, "00": 1, "01": 2})
    stored = torch.load(finished.last_checkpoints[0], weights_only=True)["jersey"]
    model = OnnxModel(finished.onnx)
    assert list(model.labels.names) == stored["labels"] == names
    assert model.metadata["labels_sha256"] == mapping["sha256"] == stored["labels_sha256"]
    with (finished.path / "confusion_matrix_test.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert head[1:] == [row[0] for row in rows] == names
    report = finished.report.with_suffix(".md").read_text(encoding="utf-8")
    assert all(f'| "{name}" |' in report for name in names)


def test_test_export_and_report_can_be_called_alone(finished: RunFolder, tmp_path: Path) -> None:
    """They write the same file and report in a copy of the run, without training."""
    copied = replace(finished, path=Path(shutil.copytree(finished.path, tmp_path / finished.name)))
    copied.onnx.unlink()
    copied.report.unlink()
    experiment = replace(fdl.build(load(copied.path)[1]), onnx_variants=(), profile=False)
    state = experiment.prepare(copied, experiment.read_data())
    tested = stages.test(state)
    stages.report(state, tested, stages.export(state, tested))
    before, after = OnnxModel(finished.onnx).metadata, OnnxModel(copied.onnx).metadata
    assert {name for name in before if before[name] != after[name]} <= {"commit"}
    kept, again = (
        folder.report.with_suffix(".md").read_text(encoding="utf-8").splitlines() for folder in (finished, copied)
    )
    assert [line for line in again if line not in kept and not line.startswith(("| duration", "git"))] == []


def test_a_resumed_or_evaluated_run_does_not_read_the_source_of_its_weights(
    finished: RunFolder, tmp_path: Path
) -> None:
    config = load(finished.path)[1]
    config.module.network.weights = str(tmp_path / "gone.ckpt")
    experiment = fdl.build(config)
    data = experiment.read_data()
    folder = open_run(tmp_path, "resnet18_baseline", "run", config_files={"config.txt": "a = 1\n"})
    with pytest.raises(UserError, match=r"gone\.ckpt: there is no such file"):
        experiment.prepare(folder, data)
    best = torch.load(finished.best_checkpoint, weights_only=True)["state_dict"]
    for name, value in experiment.best_module(finished.path).state_dict().items():
        assert torch.equal(value, best[name]), name
    folder.last_checkpoints[0].parent.mkdir()
    shutil.copyfile(finished.last_checkpoints[0], folder.last_checkpoints[1])
    assert experiment.prepare(folder, data).module.network.settings["architecture"] == "resnet18"


@pytest.mark.parametrize(("size_px", "warnings"), [((32, 32), 0), ((48, 40), 1)])
def test_weights_for_crops_of_another_size_are_one_warning_that_names_both_sizes(
    finished: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture, size_px: tuple[int, int], warnings: int
) -> None:
    config = load(finished.path)[1]
    config.data.size_px = size_px
    config.module.network.weights = str(finished.path)
    experiment = fdl.build(config)
    folder = open_run(tmp_path, "resnet18_baseline", "run", config_files={"config.txt": "a = 1\n"})
    with caplog.at_level("WARNING", "jersey"):
        experiment.prepare(folder, experiment.read_data())
    found = [record.getMessage() for record in caplog.records if "initial weights" in record.getMessage()]
    assert len(found) == warnings
    assert all(
        words in line for line in found for words in ("data.size_px=(48,40) changes", "; set data.size_px=(32,32)")
    )


def test_report_and_tracker_state_whether_a_variant_was_written(finished: RunFolder) -> None:
    """Both outcomes are accepted, because the speed of the variant depends on the machine."""
    file = finished.path / "model.int8.onnx"
    lines = finished.report.with_suffix(".md").read_text(encoding="utf-8").splitlines()
    (row,) = (line for line in lines if line.startswith(f"| {file.name} |"))  # a warning may name the file too
    assert row.endswith("| written |") == file.exists()
    if file.exists():
        float32, int8 = OnnxModel(finished.onnx), OnnxModel(file)
        assert int8.metadata == {**float32.metadata, "variant": "int8"}
    run_hash = (finished.path / "aim_hash").read_text(encoding="utf-8")
    tracked = aim.Run(run_hash, repo=indexed(finished.path.parents[1]), read_only=True)["export"]
    assert (tracked["int8_refused"] == "") == file.exists()
    assert percent(tracked["int8_val_agreement"]) in row
    assert f"{tracked['int8_speedup']:.3f} (" in row


def test_a_checkpoint_with_other_labels_and_a_data_set_that_lost_a_class_raise_an_error(
    finished: RunFolder, shrink: Callable[[fdl.Buildable], None], tmp_path: Path
) -> None:
    """The lost class is detected before training, from the label map that the run wrote when it started."""
    config = configs.get_experiment("resnet18_baseline")()
    shrink(config)
    config.data.labels = ("01", "00", "0")
    folder = open_run(tmp_path, "resnet18_baseline", "run", config_files={"config.txt": "a = 1\n"})
    Labels(("0", "00", "01", "1")).save(folder.labels)
    with pytest.raises(UserError, match="without 1;"):
        fdl.build(config).run(folder, aim_repo=tmp_path / ".aim", flat_config={})
    assert not (tmp_path / ".aim").exists()
    folder.labels.unlink()
    folder.last_checkpoints[0].parent.mkdir()
    folder.last_checkpoints[0].write_bytes(finished.last_checkpoints[0].read_bytes())
    with pytest.raises(ValueError, match="the same labels in a different order"):
        fdl.build(config).run(folder, aim_repo=tmp_path / ".aim", flat_config={})


def test_a_run_is_not_resumed_with_data_that_have_changed_since_its_start(
    shrink: Callable[[fdl.Buildable], None], crops_root: Path, tmp_path: Path
) -> None:
    """A crop changes after it was decoded, one appears, one gets another label; restored data are accepted."""
    root = Path(shutil.copytree(crops_root, tmp_path / "crops"))
    config = configs.get_experiment("resnet18_small")()
    shrink(config)
    config.data.root = str(root)
    experiment = fdl.build(config)

    def start() -> JerseyDataModule:
        folder = open_run(tmp_path, "resnet18_small", "run", config_files={"config.txt": "a = 1\n"})
        data = experiment.read_data()
        stages.audit(data, folder, ())
        return data

    before = start().sha256
    one, another, *_ = sorted((root / "train" / "0").iterdir())
    content = one.read_bytes()

    def rewrite(path: Path, content: bytes) -> None:
        path.write_bytes(content)

    changes: list[tuple[Callable[[], object], Callable[[], object]]] = [
        (lambda: rewrite(one, another.read_bytes()), lambda: rewrite(one, content)),
        (lambda: rewrite(root / "val" / "0" / "new.jpg", content), (root / "val" / "0" / "new.jpg").unlink),
        (lambda: one.rename(root / "train" / "00" / "x.jpg"), lambda: (root / "train" / "00" / "x.jpg").rename(one)),
    ]
    for change, restore in changes:
        change()
        with pytest.raises(UserError, match=r"not those with which the run .* started; restore them"):
            start()
        restore()
        assert start().sha256 == before


def test_a_compiled_network_saves_the_same_parameter_names_and_exports(
    shrink: Callable[[fdl.Buildable], None], tmp_path: Path
) -> None:
    config = configs.get_experiment("resnet18_baseline")()
    shrink(config)
    config.module.network = fdl.Partial(small_network)
    configs.apply_fiddler(config, "compile")
    config.trainer.limit_batches = 1
    folder = full_run(config, "resnet18_baseline", tmp_path)
    names = torch.load(folder.best_checkpoint, weights_only=True)["state_dict"]
    assert "network.backbone.layer1.0.weight" in names
    assert OnnxModel(folder.onnx).labels.names == ("0", "00", "01")
