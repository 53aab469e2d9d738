"""A page in a headless Chromium, with what it requested and reported, to check that hostile text in it does nothing."""

from pathlib import Path

from playwright.sync_api import Page


class Opened:
    """A page in the browser, with what it requested and what it reported."""

    def __init__(self, page: Page, file: Path) -> None:
        self.requests: list[str] = []
        self.blocked: list[str] = []  # by the policy of the page
        self.events: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("requestfailed", lambda request: self.blocked.append(request.url) if request.failure == "csp" else None)
        page.on("dialog", lambda dialog: self.events.append(dialog.message))
        page.on("popup", lambda popup: self.events.append(popup.url))
        page.on("console", lambda message: self.events.append(message.text))
        page.goto(file.as_uri())
        for element in page.locator("img, td, p").all()[:50]:
            element.dispatch_event("mouseover")
        self.page, self.file = page, file
        self.text = page.locator("body").inner_text()

    def assert_harmless(self) -> None:
        assert [url for url in self.requests if not url.startswith("data:image/")] == [self.file.as_uri()]
        assert self.events == []
        assert self.page.evaluate("window.hit") is None
        assert self.page.url == self.file.as_uri()
        assert self.page.locator("script, iframe, svg, link, base, object, form, body meta").count() == 0
        handlers = "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(n => /^on/.test(n))"
        assert self.page.evaluate(handlers) == []
