"""Aim's web pages in a headless Chromium, for the screenshots of the README and for tests of the pages.

Playwright drives Debian's package `chromium`. The state of an explorer (query, grouping) is part of its address, and
that of the tables is in the browser's storage; both are JSON, packed by `pack`.
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, TimeoutError, sync_playwright

START_TIMEOUT_S = 120  # Aim takes half a minute on a busy machine
PAGE_TIMEOUT_S = 20
TRIES = 6  # a page is opened again until Aim has indexed its runs
WIDTH_PX, HEIGHT_PX = 1280, 720


def chromium() -> str | None:
    """Returns the path of the browser, or None if it is not installed."""
    return shutil.which("chromium")


@contextmanager
def aim_up(repo: Path, log: Path) -> Iterator[str]:
    """Serves the Aim repository in the folder `repo` on a free port; yields its address."""
    aim = Path(sys.executable).with_name("aim")
    command = [aim, "up", "--repo", repo, "--read-only", "--host", "127.0.0.1", "--port", "0", "--workers", "1"]
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            list(map(str, command)), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield _wait_for_server(process, log)
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # its server is a child process that would remain
        process.wait(timeout=30)


def _wait_for_server(process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        found = re.search(r"Open (http://\S+)", log.read_text(encoding="utf-8"))
        try:
            if found:
                urllib.request.urlopen(f"{found[1]}/api/projects/", timeout=5).close()
                return found[1]
        except OSError:
            pass
        time.sleep(0.5)
    raise RuntimeError(f"aim up did not start: {log.read_text(encoding='utf-8')}")


@contextmanager
def browser_page(tables: Mapping[str, Any] | None = None) -> Iterator[Page]:
    """Yields an empty page that reaches only this machine, because Aim's pages load fonts and Python from elsewhere.

    Args:
        tables: columns of the tables and their order, by explorer ("runs", "metrics", "images").
    """
    storage = {f"{name}Table": pack(state) for name, state in (tables or {}).items()} | {"communityPopupSeen": "true"}
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=[*arguments, "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]
        )
        try:
            page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
            page.add_init_script(f"for (const [k, v] of Object.entries({json.dumps(storage)})) localStorage[k] = v")
            yield page
        finally:
            browser.close()


def explorer(address: str, kind: str, query: str = "", **state: Any) -> str:
    """Returns the address of an explorer that shows the results of an Aim query.

    Args:
        address: address of the server.
        kind: "runs", "metrics", "images" or "params".
        query: query in Aim's language; an empty one finds everything.
        state: further state of the explorer, merged into its defaults: `grouping`, `images`, `options` of a select.
    """
    select = {"advancedMode": True, "advancedQuery": query, "query": query, "options": state.pop("options", [])}
    parts = {name: pack(part) for name, part in {"select": select, **state}.items()}
    return f"{address}/{kind}?{urllib.parse.urlencode(parts)}"


def pack(state: Mapping[str, Any]) -> str:
    """Encodes state like Aim's pages: JSON, percent-encoded like JavaScript's encodeURI, in base 64."""
    text = json.dumps(state, separators=(",", ":"), ensure_ascii=False)
    percent = urllib.parse.quote(text, safe=";,/?:@&=+$-_.!~*'()#")
    return "O-" + base64.urlsafe_b64encode(percent.encode()).decode().rstrip("=")


def column(metric: str, subset: str) -> str:
    """Returns the name of a metric's column in Aim's tables."""
    return pack({"metricName": metric, "contextName": f' subset="{subset}"'})


def open_until(page: Page, address: str, condition: str) -> None:
    """Opens a page, several times if necessary, until a JavaScript expression is true on it."""
    for _ in range(TRIES):
        page.goto(address)
        try:
            page.wait_for_function(condition, timeout=1000 * PAGE_TIMEOUT_S)
            return
        except TimeoutError:
            continue
    raise RuntimeError(f"{condition} is not true on {address}: {page.inner_text('body')}")
