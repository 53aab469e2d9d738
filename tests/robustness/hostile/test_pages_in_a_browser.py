"""Every page with hostile text runs nothing and fetches nothing in a real browser, and shows the text as it is."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aim_browser import browser_page, chromium
from helpers.opened_page import Opened
from helpers.planted_model import planted_model
from PIL import Image
from robustness.hostile.test_hostile_images import hostile_set, save_noise

from jersey.data.audit.findings import AuditFinding, AuditRow
from jersey.data.audit.page import review_page
from jersey.evaluate import main as evaluate
from jersey.report.document import CodeBlock, Figure, Heading, TableBlock, Text, as_html

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="Chromium is not installed: apt-get install chromium"),
]
# Each would set `hit`, fetch something, or change the page, if it were not escaped.
TEXTS = (
    "<script>window.hit=1</script>",
    "\"><img src=x onerror='window.hit=1'>",
    "' onmouseover='window.hit=1' x='",
    "</title></style></pre></textarea><svg onload=window.hit=1>",
    "<!--<iframe srcdoc='<script>parent.hit=1</script>'>-->",
    "<meta http-equiv=refresh content='0;url=http:evil.example'>",
    "<base href=http:evil.example><link rel=stylesheet href=x.css>",
    "&lt;b&gt;&#x202e;&amp;",
    "javascript:window.hit=1",
)
REVERSED = "\u202egnp.exe"
LABELS = ("0", *TEXTS)


@pytest.fixture
def open_page() -> Iterator[Callable[[Path], Opened]]:
    with browser_page() as page:
        yield lambda file: Opened(page, file)


def test_a_page_of_every_block(tmp_path: Path, open_page: Callable[[Path], Opened]) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    every = [*TEXTS, REVERSED]
    blocks = [
        *(kind(text) for text in every for kind in (Heading, Text, CodeBlock)),
        *(Text(text, lead=True) for text in every),
        TableBlock(every, [every, every]),
        *(Figure("a.png", text) for text in every),
    ]
    (tmp_path / "report.html").write_text(as_html("".join(every), blocks, tmp_path), encoding="utf-8")
    opened = open_page(tmp_path / "report.html")
    opened.assert_harmless()
    assert all(opened.text.count(text) > 5 for text in TEXTS)
    assert "\u202e" not in opened.text
    assert r"\u202egnp.exe" in opened.text


def test_a_page_that_forgets_to_escape_still_runs_and_fetches_nothing(
    tmp_path: Path, open_page: Callable[[Path], Opened]
) -> None:
    """The policy in its head is a second line of defense."""
    text = as_html("MARK", [Text("MARK")], tmp_path).replace("MARK", "".join(TEXTS[:3]))
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    opened = open_page(tmp_path / "report.html")
    assert opened.page.evaluate("window.hit") is None
    assert [url for url in opened.requests if url not in (opened.file.as_uri(), *opened.blocked)] == []
    assert any("Content Security Policy" in event for event in opened.events)


def test_the_review_page_of_the_audit_and_of_folds(tmp_path: Path, open_page: Callable[[Path], Opened]) -> None:
    root = tmp_path / TEXTS[0].replace("/", "")
    root.mkdir()
    rows, findings = [], []
    for index, text in enumerate(TEXTS):
        name = text.replace("/", "")
        save_noise(root / "a.png", index)
        (root / "a.png").rename(root / name)
        rows.append(AuditRow("train", text, name))
        findings.append(AuditFinding("label_contradicted", name, (rows[-1],), 1.0, ((text, 0.9),)))
    (tmp_path / "review.html").write_text(review_page(root, rows, findings), encoding="utf-8")
    opened = open_page(tmp_path / "review.html")
    opened.assert_harmless()
    assert all(f"label {text}" in opened.text and f"predicted {text}" in opened.text for text in TEXTS)


def test_the_page_of_a_file_with_hostile_metadata(tmp_path: Path, open_page: Callable[[Path], Opened]) -> None:
    root = hostile_set(tmp_path / "set")
    for split in ("train", "val", "test"):
        shutil.rmtree(root / split)
        for index, label in enumerate(LABELS[:3]):
            (root / split / label.replace("/", "")).mkdir(parents=True)
            save_noise(root / split / label.replace("/", "") / f"{'=' * index}a.png", index)
    labels = tuple(label.replace("/", "") for label in LABELS)
    more = dict.fromkeys(("experiment", "run", "commit"), "".join(TEXTS) + REVERSED)
    model = planted_model(tmp_path / "<b onclick=hit=1>.onnx", labels=labels, **more)
    evaluate([model], root, str(tmp_path / "out"))
    opened = open_page(tmp_path / "out" / "report.html")
    opened.assert_harmless()
    assert "".join(TEXTS) + r"\u202egnp.exe" in opened.text
    assert labels[1] in opened.text
