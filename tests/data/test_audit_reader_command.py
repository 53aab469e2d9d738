"""The audit with a reader as a command: JSON, the page of pictures, and one sentence for each mistake."""

import base64
import io
import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from shutil import copytree

import pytest
from helpers.dirty_tree import Tree, encoded
from helpers.planted_model import LABELS, crop_of, planted_model, textured_crop
from helpers.repository import REPOSITORY
from PIL import Image

from jersey.bench.label_noise import listed, planted
from jersey.core.model_file import READER
from jersey.data.audit import AuditFinding, AuditRow
from jersey.synth.generate import generate

MARKUP = '"<b>1&2.png'


def audit(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jersey.data.audit", *flags]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)


class Page(HTMLParser):
    """Collects the pictures and the texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[dict[str, str | None]] = []
        self.texts: list[str] = []
        self.metas: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "b")
        if tag == "img":
            self.pictures.append(dict(attributes))
        if tag == "meta":
            self.metas.append(dict(attributes))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Two crops of every number with one color each, so that all are copies of each other for the audit."""
    tree = Tree(tmp_path / "crops", "folders")
    for split in ("train", "val", "test"):
        for number in LABELS:
            size_px = (20 + 10 * LABELS.index(number), 200 if split == "val" else 30)
            tree.add(split, number, encoded(Image.fromarray(crop_of(number, size_px=size_px)), "PNG"))
    tree.add("train", "0", encoded(Image.fromarray(crop_of("23")), "PNG"), name=MARKUP)
    tree.add("train", "00", encoded(Image.fromarray(crop_of("01", size_px=(300, 150))), "PNG"), name="large.png")
    tree.add("train", "00", encoded(Image.fromarray(crop_of("01", certainty=0)), "PNG"), name="blank.png")
    return tree


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return planted_model(tmp_path / "model.onnx")


def test_json_has_scores_and_predictions_and_the_page_shows_the_same_in_the_same_order(
    tree: Tree, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "review.html"
    out.write_text("an older page")
    done = audit(str(tree.root), f"--reader={model}", f"--html={out}", "--json")
    assert done.returncode == 0, "copies and suspicious labels are warnings"
    found = [each for each in json.loads(done.stdout)["findings"] if "score" in each]
    assert [each["kind"] for each in found] == ["label_contradicted"] * 2 + ["looks_illegible"]
    assert [each["rows"][0]["image"] for each in found] == [
        f"train/0/{MARKUP}",
        "train/00/large.png",
        "train/00/blank.png",
    ]
    assert found[0]["score"] > found[1]["score"]
    assert found[0]["predictions"][0][0] == "23"
    page = Page(out.read_text(encoding="utf-8"))
    assert [picture["alt"] for picture in page.pictures] == [each["rows"][0]["image"] for each in found]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.metas
    for text in ("label 0", f"predicted 23 with {found[0]['predictions'][0][1]:.3f}", f"train/0/{MARKUP}"):
        assert text in page.texts
    pictures = [_decoded(picture["src"] or "") for picture in page.pictures]
    assert pictures[1].size == (64, 128), "large pictures are reduced, and keep their shape"
    assert pictures[0].getpixel((0, 0)) == pytest.approx(tuple(crop_of("23")[0, 0].tolist()), abs=3)


def _decoded(source: str) -> Image.Image:
    kind, _, content = source.partition(";base64,")
    assert kind == "data:image/jpeg"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_suspicious_labels_alone_are_warnings(tmp_path: Path, model: Path) -> None:
    tree = Tree(tmp_path / "crops", "folders")
    for index, split in enumerate(("train", "val", "test")):
        number = "23" if split == "val" else "0"
        tree.add(split, "0", encoded(Image.fromarray(textured_crop(number, index)), "PNG"))
    tree.add("train", "23", encoded(Image.fromarray(textured_crop("23", 3)), "PNG"))
    done = audit(str(tree.root), f"--reader={model}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning: labels that the reader contradicts, the most suspicious first (1)\n" in done.stdout


def test_each_mistake_is_one_sentence_and_exit_code_2_and_nothing_is_written(
    tree: Tree, model: Path, tmp_path: Path
) -> None:
    out, other = tmp_path / "review.html", tmp_path / "other.onnx"
    other.write_bytes(b"not a model")
    root, reader = str(tree.root), f"--reader={model}"
    for flags, words in (
        ((root, f"--reader={tmp_path / 'none.onnx'}"), "cannot read the model"),
        ((root, f"--reader={other}"), "is not a model that jersey has exported"),
        ((str(tmp_path / "nowhere"), reader), "the data folder"),
        ((root, reader, "--fast"), "--fast decodes headers only"),
        ((root,), "--html shows what a reader finds; add --reader"),
        ((root, reader, f"--html={tmp_path / 'nowhere' / 'review.html'}"), "--html names a file in a folder"),
        ((root, reader, f"--html={tmp_path}"), "--html names a file in a folder"),
    ):
        done = audit(f"--html={out}", *flags)
        assert (done.returncode, done.stdout) == (2, ""), flags
        assert done.stderr.splitlines()[-1].startswith("error: ")
        assert words in done.stderr, flags
        assert "Traceback" not in done.stderr
        assert not out.exists()


def test_a_data_set_without_splits_is_an_error_of_the_audit_and_the_page_is_empty(
    tree: Tree, model: Path, tmp_path: Path
) -> None:
    unlabeled, out = tmp_path / "unlabeled", tmp_path / "review.html"
    copytree(tree.root / "train" / "0", unlabeled)
    done = audit(str(unlabeled), f"--reader={model}", f"--html={out}")
    assert (done.returncode, done.stderr) == (1, "")
    assert f"`python -m jersey.data.prepare {unlabeled} OUT` splits its crops" in done.stdout
    assert Page(out.read_text(encoding="utf-8")).pictures == []


def test_without_onnxruntime_the_audit_works_and_a_reader_is_refused(tree: Tree, model: Path) -> None:
    hide = "import sys; sys.modules['onnxruntime'] = None; import runpy; sys.argv[0] = 'audit'; "
    program = hide + "runpy.run_module('jersey.data.audit', run_name='__main__')"
    for flags, code, words in (
        ([], 0, ""),
        ([f"--reader={model}"], 2, "error: the package onnxruntime is not installed"),
    ):
        command = [sys.executable, "-c", program, str(tree.root), *flags]
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
        assert done.returncode == code, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not READER.exists(), reason="this checkout has no reader in the package")
def test_the_reader_of_the_package_finds_planted_errors(tmp_path: Path) -> None:
    root, noisy = tmp_path / "crops", Tree(tmp_path / "noisy", "annotations")
    generate(root, numbers=("00", "8", "16", "23", "28"), train=400, val=10, test=10, size_px=64, seed=5)
    rows = [AuditRow("train", path.parent.name, str(path)) for path in sorted((root / "train").glob("*/*"))]
    changed, is_planted_N = planted(rows, "any label", fraction=0.03, seed=0)
    kept = [noisy.add("train", row.label, Path(row.image).read_bytes()) for row in changed]
    done = audit(str(noisy.root), "--reader", "--json")
    found = [
        AuditFinding(each["kind"], each["sentence"], tuple(AuditRow(**row) for row in each["rows"]))
        for each in json.loads(done.stdout)["findings"]
        if each["kind"] == "label_contradicted"
    ]
    errors = is_planted_N.sum()
    _, precision, recall = listed(found[:errors], kept, is_planted_N)
    assert precision >= 0.9
    assert recall >= 0.9
