"""The page has a section per kind that occurs, and a limited number of cards in each."""

from pathlib import Path

import pytest
from helpers.planted_model import crop_of
from PIL import Image

from jersey.data.audit import page
from jersey.data.audit.findings import KINDS, AuditFinding, AuditRow, Kind
from jersey.data.audit.page import review_page


@pytest.fixture
def row(tmp_path: Path) -> AuditRow:
    (tmp_path / "train").mkdir()
    Image.fromarray(crop_of("23")).save(tmp_path / "train" / "a.png")
    return AuditRow("train", "0", "train/a.png")


def finding(kind: Kind, row: AuditRow, score: float | None) -> AuditFinding:
    return AuditFinding(kind, "a sentence", (row,), score, (("23", 0.9),))


@pytest.mark.parametrize(("limit", "more"), [(2, "1 more are in the JSON"), (3, None), (4, None)])
def test_cards_beyond_the_limit_are_counted(
    row: AuditRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, more: str | None
) -> None:
    monkeypatch.setattr(page, "MAX_CARDS", limit)
    text = review_page(tmp_path, [row], [finding("label_contradicted", row, score) for score in (3.0, 2.0, 1.0)])
    assert text.count('<div class="card">') == min(limit, 3)
    assert (more in text) if more else ("more are in the JSON" not in text)
    assert "score 3.00" in text


def test_sections_are_the_kinds_that_occur_with_a_score(row: AuditRow, tmp_path: Path) -> None:
    found = [
        finding("looks_illegible", row, 1.0),
        finding("duplicates", row, None),
        finding("looks_illegible", row, 0.5),
    ]
    text = review_page(tmp_path, [row, row], found)
    assert text.count("<h2>") == 1
    assert f"{KINDS['looks_illegible'][1].capitalize()} (2)" in text
    assert "2 suspicious findings in 1 image." in text
