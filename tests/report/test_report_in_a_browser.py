"""The page of a report in a real browser: on a phone, in the dark, and with enlarged pictures."""

from collections.abc import Iterator

import pytest
from aim_browser import browser_page, chromium
from PIL import Image
from playwright.sync_api import Page

from jersey.report.document import CodeBlock, Figure, Heading, TableBlock, Text, as_html

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="Chromium is not installed: apt-get install chromium"),
]
PHONE_PX = 390
WIDTH = "document.documentElement.scrollWidth"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("report")
    Image.new("RGB", (1500, 900), "red").save(folder / "wide.png")
    wide = TableBlock([f"column {i}" for i in range(12)], [[f"long cell {i}" for i in range(12)]])
    blocks = [
        Text("Test accuracy 99.7 %", lead=True),
        Text("/a/path/without/a/space/" + 40 * "very_long_name/"),
        Heading("First section"),
        wide,
        *(Text("a line") for _ in range(60)),
        CodeBlock(f"python launch.py --exp=quickstart --workdir={'x' * 300}"),
        TableBlock(("property", "value"), [("data", "sha256" * 30)]),
        Heading("The pictures"),
        Figure("wide.png", "a wide picture"),
    ]
    (folder / "report.html").write_text(as_html("quickstart/" + 30 * "long_name_", blocks, folder), encoding="utf-8")
    with browser_page() as page:
        page.set_viewport_size({"width": PHONE_PX, "height": 844})
        page.goto(f"file://{folder / 'report.html'}")
        yield page


def test_nothing_overflows_sideways_on_a_phone(page: Page) -> None:
    assert page.evaluate(WIDTH) == PHONE_PX
    assert page.locator(".wide").evaluate("table => table.scrollWidth > table.clientWidth"), "the table itself scrolls"


def test_a_tap_enlarges_a_picture_and_another_one_reduces_it(page: Page) -> None:
    image = page.locator("figure img")
    small = image.bounding_box()
    image.click()
    large = image.bounding_box()
    assert small is not None
    assert large is not None
    assert small["width"] < PHONE_PX < large["width"] == 1500
    assert page.evaluate(WIDTH) == PHONE_PX
    image.click()
    assert image.bounding_box() == small or image.evaluate("image => image.width") < PHONE_PX


def test_the_contents_lead_to_their_sections(page: Page) -> None:
    page.locator("nav a", has_text="The pictures").click()
    heading = page.locator("h2", has_text="The pictures")
    top = heading.evaluate("heading => heading.getBoundingClientRect().top")
    assert -1 <= top < 844
    assert page.evaluate("scrollY") > 500


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_page_contrast_in_both_color_schemes(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    style = "element => [getComputedStyle(element).color, getComputedStyle(document.body).backgroundColor]"
    text, background = page.locator("p.lead").evaluate(style)
    brightness = [sum(map(int, color[4:-1].split(", "))) / 3 for color in (text, background)]
    assert abs(brightness[0] - brightness[1]) > 150
    assert (brightness[1] < 60) == (scheme == "dark")


def test_a_print_has_no_contents_and_fits_its_paper(page: Page) -> None:
    page.emulate_media(media="print", color_scheme="light")
    page.set_viewport_size({"width": 680, "height": 1000})  # A4 without its margins, at 96 dots per inch
    assert not page.locator("nav").is_visible()
    assert page.evaluate(WIDTH) <= 680
