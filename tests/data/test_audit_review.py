"""Labels that a reader contradicts, labeled crops that it finds illegible, and similar crops with different labels.

The reader is an exported file with known predictions. It ignores blue, so noise in blue makes each crop another image.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.dirty_tree import Tree, encoded
from helpers.planted_model import LABELS, expected, planted_model, textured_crop
from PIL import Image

from jersey.core.errors import UserError
from jersey.data.audit import Audit, AuditFinding, AuditRow, audit_folder
from jersey.data.audit.review import Review, review
from jersey.inference import Predictor


def picture(number: str, seed: int, **options: int) -> bytes:
    """Returns a PNG file of a `textured_crop`."""
    return encoded(Image.fromarray(textured_crop(number, seed, **options)), "PNG")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Three correctly labeled crops of every number in every split."""
    tree = Tree(tmp_path / "crops", "folders")
    for index, (split, number) in enumerate((s, n) for s in ("train", "val", "test") for n in LABELS * 3):
        tree.add(split, number, picture(number, index), name=f"{index}.png")
    return tree


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return planted_model(tmp_path / "model.onnx")


def reviewed(tree: Tree, model: Path) -> tuple[Audit, Review]:
    audit = audit_folder(tree.root)
    return audit, review(audit, Predictor(model, top_k=1))


def rows_of(findings: list[AuditFinding]) -> list[AuditRow]:
    return [row for finding in findings for row in finding.rows]


def test_a_correctly_labeled_set_has_no_suspicious_label(tree: Tree, model: Path) -> None:
    tree.add("val", "", picture("23", 900, certainty=0))
    audit, found = reviewed(tree, model)
    assert len(found.rows) == len(audit.rows) == 3 * 3 * len(LABELS) + 1
    assert found.findings(audit.findings) == []


def test_contradicted_labels_are_sorted_by_the_ratio_of_their_probabilities(tree: Tree, model: Path) -> None:
    far = tree.add("test", "0", picture("23", 900))
    near = tree.add("val", "00", picture("01", 901))
    hidden = tree.add("train", "", picture("10", 902))
    tree.add("train", "00", picture("01", 903, certainty=120))  # the reader prefers 01, but not with confidence
    _, found = reviewed(tree, model)
    assert rows_of(found.contradicted()) == [far, near, hidden]
    first, second, third = found.contradicted()
    p_K = expected("01")
    assert second.score == pytest.approx(np.log10(p_K[2] / p_K[1]), abs=1e-3)
    assert third.score == pytest.approx(np.log10(expected("10")[3] * len(LABELS)), abs=1e-3)
    ((number, confidence),) = first.predictions
    assert (number, first.kind, first.severity) == ("23", "label_contradicted", "warning")
    assert confidence == pytest.approx(expected("23")[4], abs=1e-5)
    assert first.sentence.startswith(f"{far.image} (0): 23 with {confidence:.3f}, over 1,000 times the label's")
    assert not found.illegible()


def test_labeled_crops_without_information_look_illegible(tree: Tree, model: Path) -> None:
    vague = tree.add("train", "00", picture("01", 900, certainty=10))
    blank = tree.add("test", "23", picture("01", 901, certainty=0))
    _, found = reviewed(tree, model)
    assert rows_of(found.illegible()) == [blank, vague]
    assert found.illegible()[0].score == pytest.approx(1)
    assert not found.contradicted()


def test_numbers_of_the_open_vocabulary_are_judged_and_others_are_named(tree: Tree, model: Path) -> None:
    correct = tree.add("train", "77", picture("77", 900))
    wrong = tree.add("train", "50", picture("05", 901))
    tree.add("train", "GK", picture("23", 902))
    _, found = reviewed(tree, model)
    assert correct in found.rows
    assert rows_of(found.contradicted()) == [wrong]
    (unknown,) = found.unknown()
    assert unknown.sentence == "the reader does not know the labels GK (1)"
    closed = review(audit_folder(tree.root), Predictor(planted_model(model, is_open_vocabulary=False), top_k=1))
    assert closed.unknown()[0].sentence == "the reader does not know the labels 50 (1), 77 (1), GK (1)"


def test_a_reader_without_any_of_the_labels_is_refused(tmp_path: Path, model: Path) -> None:
    tree = Tree(tmp_path / "names", "folders")
    tree.add("train", "home", picture("23", 0))
    with pytest.raises(UserError, match=r"knows none of the labels \(home\)"):
        reviewed(tree, model)


def test_a_similar_crop_with_another_label_is_one_pair(tree: Tree, model: Path) -> None:
    first = tree.add("train", "23", picture("23", 900))
    other = tree.add("train", "10", picture("23", 900, shift_px=3))
    tree.add("train", "23", picture("23", 950))
    tree.add("train", "", picture("23", 950, shift_px=3))  # a hidden number in the next frame is not an error
    tree.add("val", "", picture("23", 951))
    tree.add("val", "01", picture("23", 951, shift_px=3))
    for shift_px in (0, 3):
        tree.add("train", "10", picture("10", 952, shift_px=shift_px))  # two frames with the same label
    audit, found = reviewed(tree, model)
    (pair,) = found.similar(audit.findings)
    assert set(pair.rows) == {first, other}
    assert pair.sentence == f"{other.image} (10, predicted 23) and {first.image} (23, predicted 23)"
    assert pair.score is not None
    prints_N = found.fingerprints_N.copy()
    prints_N[found.rows.index(first)] = prints_N[found.rows.index(other)]
    (same,) = replace(found, fingerprints_N=prints_N).similar()
    assert same.rows == pair.rows
    assert same.score == 1 > pair.score


def test_copies_that_the_audit_reports_are_not_similar_as_well(tree: Tree, model: Path) -> None:
    tree.add("train", "23", picture("23", 900))
    tree.add("val", "10", picture("23", 900))
    audit, found = reviewed(tree, model)
    assert [finding.kind for finding in audit.findings] == ["conflicting_copies"]
    assert found.similar(audit.findings) == []
    assert len(found.similar()) == 1


def test_damaged_images_are_left_out(tree: Tree, model: Path) -> None:
    bad = tree.add("train", "23", b"no image")
    audit, found = reviewed(tree, model)
    assert bad in audit.rows
    assert bad not in found.rows
    assert found.findings(audit.findings) == []


def test_a_set_of_damaged_images_has_no_suspicious_label(tmp_path: Path, model: Path) -> None:
    tree = Tree(tmp_path / "crops", "folders")
    tree.add("train", "23", b"no image")
    assert reviewed(tree, model)[1].findings() == []
