"""Formats what a reader finds as a page of pictures: one self-contained HTML file, the most suspicious images first."""

import base64
import io
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from jersey.core.errors import escape_control, plural
from jersey.data.audit.findings import KINDS, AuditFinding, AuditRow
from jersey.data.decode import decode
from jersey.report.document import html_page

MAX_CARDS = 300  # of a kind, so that a phone can show the page
_PICTURE_PX = 128  # max side of an embedded picture, which keeps a card below 10 kB
_QUALITY = 85
_STYLE = """
h1 { overflow-wrap: anywhere; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; } .card { border: 1px solid var(--line); padding: .5rem; }
.card { max-width: 17rem; overflow-wrap: anywhere; } .crops { display: flex; gap: .5rem; } .card p { margin: .2rem 0; }
.crops div { width: 8rem; } .crops img { width: 8rem; height: 8rem; object-fit: contain; background: #eee; }
.path { color: var(--muted); font-size: .8rem; } .number { font-size: 1.25rem; font-weight: 600; }
"""


def review_page(root: Path, rows: Sequence[AuditRow], findings: Sequence[AuditFinding]) -> str:
    """Returns the page: a section for each kind of finding, a card for each finding that has a score.

    Args:
        root: folder of the data set.
        rows: images that were judged.
        findings: findings, those of a kind in the order of the page.
    """
    title = f"Labels to review in {escape_control(str(root))}"
    images = len({row.image for row in rows})
    found = [finding for finding in findings if finding.score is not None]
    count = f"{plural(len(found), 'suspicious finding')} in {plural(images, 'image')}"
    lead = f"{count}. The most suspicious come first in each section."
    return html_page(title, "\n".join([f'<p class="lead">{escape(lead)}</p>', *_sections(root, found)]), style=_STYLE)


def _sections(root: Path, findings: Sequence[AuditFinding]) -> Iterator[str]:
    for kind, (_, heading) in KINDS.items():
        found = [finding for finding in findings if finding.kind == kind]
        if found:
            yield f"<h2>{escape(heading.capitalize())} ({len(found):,})</h2>"
            yield f'<div class="cards">\n{"".join(_card(root, each) for each in found[:MAX_CARDS])}</div>'
        if len(found) > MAX_CARDS:
            yield f"<p>{len(found) - MAX_CARDS:,} more are in the JSON that --json prints.</p>"


def _card(root: Path, finding: AuditFinding) -> str:
    crops = [_crop(root, *each) for each in zip(finding.rows, finding.predictions, strict=True)]
    return f'<div class="card"><div class="crops">{"".join(crops)}</div><p>score {finding.score:.2f}</p></div>\n'


def _crop(root: Path, row: AuditRow, prediction: Sequence[object]) -> str:
    number, confidence = prediction
    name = escape(escape_control(row.image))
    return (
        f'<div><img src="{_data_uri(root / row.image)}" alt="{name}">'
        f'<p class="number">label {escape(row.shown_label)}</p>'
        f"<p>predicted {escape(str(number))} with {confidence:.3f}</p>"
        f'<p class="path">{name}</p></div>'
    )


def _data_uri(path: Path) -> str:
    """Returns an image as a JPEG in a URI, reduced to at most `_PICTURE_PX` pixels per side."""
    picture, buffer = Image.fromarray(decode(path)), io.BytesIO()
    picture.thumbnail((_PICTURE_PX, _PICTURE_PX))
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
