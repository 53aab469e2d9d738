"""Planted label errors, and the metrics of a list of findings, by hand."""

import numpy as np
import pytest

from jersey.bench.label_noise import listed, planted, ranking
from jersey.data.audit import AuditFinding, AuditRow

ROWS = [AuditRow("train", label, f"{index}.png") for index, label in enumerate(["0", "00", "10", "12", "23"] * 20)]


@pytest.mark.parametrize(("noise", "allowed"), [("any label", {"0", "00", "10", "12"}), ("one digit", {"28"})])
def test_a_fraction_of_the_labels_is_replaced(noise: str, allowed: set[str]) -> None:
    rows = [*[AuditRow("train", "23", f"{index}.png") for index in range(100)], AuditRow("train", "28", "a.png")]
    rows += [row for row in ROWS if row.label in allowed]
    for seed in range(3):
        changed, is_planted_N = planted(rows, noise, fraction=0.1, seed=seed)
        assert is_planted_N.sum() == round(0.1 * len(rows))
        assert [row != old for row, old in zip(changed, rows, strict=True)] == is_planted_N.tolist()
        new = {row.label for row, old in zip(changed, rows, strict=True) if row != old and old.label == "23"}
        assert new <= allowed | {"28"}
        assert [row.image for row in changed] == [row.image for row in rows]
    assert planted(rows, noise, fraction=0.1, seed=0)[0] != planted(rows, noise, fraction=0.1, seed=1)[0]


def test_the_ranking_of_planted_errors() -> None:
    average_precision, precision_at_n = ranking(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False]))
    assert average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert precision_at_n == pytest.approx(1 / 2)


def test_precision_counts_findings_and_recall_counts_errors() -> None:
    is_planted_N = np.zeros(len(ROWS), bool)
    is_planted_N[:3] = True
    pairs = [(ROWS[0], ROWS[9]), (ROWS[8], ROWS[1]), (ROWS[6], ROWS[7]), (ROWS[10], ROWS[11])]
    findings = [AuditFinding("similar_with_other_label", "", pair) for pair in pairs]
    assert listed(findings, ROWS, is_planted_N) == [4, pytest.approx(2 / 4), pytest.approx(2 / 3)]
