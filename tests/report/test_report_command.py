"""`python -m jersey.report` evaluates an exported file on another data set, with the page of a run."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.exported import tiny_model

from jersey.core.errors import UserError
from jersey.core.tables import percent
from jersey.data.decode import decode
from jersey.inference.onnx_model import OnnxModel
from jersey.report.__main__ import main


@pytest.fixture
def data(crops_root: Path, tmp_path: Path) -> Path:
    """The synthetic crops, an image of a number that the model does not know, one that is broken, and an illegible."""
    root = Path(shutil.copytree(crops_root, tmp_path / "other", ignore=shutil.ignore_patterns(".*")))
    first, second, *_ = sorted((root / "test" / "0").iterdir())
    for label in ("77", "illegible"):
        (root / "test" / label).mkdir()
        shutil.copyfile(second, root / "test" / label / "a.jpg")
    first.write_bytes(first.read_bytes()[:100])
    return root


def test_the_page_has_the_scores_of_the_file_and_counts_what_is_excluded(data: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    path = tiny_model(tmp_path / "model")
    model, out = OnnxModel(path), tmp_path / "out"
    main(path, data, out)
    text = (out / "report.md").read_text(encoding="utf-8").replace("\\_", "_")
    confidence, correct = [], []
    for label in ("0", "00", "01"):
        for file in sorted((data / "test" / label).iterdir()):
            if file.stat().st_size == 100:
                continue
            p_K = model.output("probabilities", np.ascontiguousarray(decode(file).transpose(2, 0, 1))[None])[0]
            confidence.append(p_K.max())
            correct.append(model.labels.names[p_K.argmax()] == label)
    assert f"Test accuracy {percent(np.mean(correct))} ({sum(correct)} / {len(correct)})" in text
    assert "because the image cannot be read (1): test/0/" in text
    assert "because the file does not know the label (1): test/77/a.jpg (77)" in text
    assert "| auroc_legible |" in text
    for each in model.thresholds:
        coverage = percent((np.array(confidence) >= each.confidence).mean()) if each.confidence else "-"
        (row,) = (line for line in text.splitlines() if line.startswith(f"| {percent(each.precision)} |"))
        assert row.split(" | ")[3] == coverage
    assert (out / "report.html").read_text(encoding="utf-8").count("data:image/png") == 3


def test_data_without_a_label_of_the_file_is_rejected_and_nothing_is_written(tmp_path: Path, data: Path) -> None:
    path = tiny_model(tmp_path)
    for split in ("train", "val", "test"):
        shutil.rmtree(data / split)
        (data / split / "88").mkdir(parents=True)
        (data / split / "88" / "a.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"no image of test in .* has a label of the model"):
        main(path, data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
