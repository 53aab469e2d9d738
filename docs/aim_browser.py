"""Aim's web pages in a headless Chromium: for the README's pictures and for the tests that look at the pages.

Needs Debian's package `chromium`; Playwright drives it. The state of an explorer (what it looks for, how it groups) is
part of its address, that of the tables is in the browser's storage: both are JSON, packed by `pack`.
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

START_TIMEOUT_S = 120  # Aim takes half a minute where the machine is busy
PAGE_TIMEOUT_S = 20
TRIES = 6  # a page is opened again until Aim has indexed the runs that it is to show
WIDTH_PX, HEIGHT_PX = 1280, 720


def chromium() -> str | None:
    """The browser's path, None where it is not installed."""
    return shutil.which("chromium")


@contextmanager
def aim_up(repo: Path, log: Path) -> Iterator[str]:
    """Serves the Aim repository in the folder `repo` as the README does, but on a free port; gives its address."""
    aim = Path(sys.executable).with_name("aim")
    command = [aim, "up", "--repo", repo, "--read-only", "--host", "127.0.0.1", "--port", "0", "--workers", "1"]
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            list(map(str, command)), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield _wait_until_it_answers(process, log)
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # its server is a child that would stay
        process.wait(timeout=30)


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", log: Path) -> str:
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
    """An empty page that reaches this machine only: Aim's pages would load fonts and Python from elsewhere.

    Args:
        tables: which columns a table shows and in what order, by explorer ("runs", "metrics", "images").
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
    """The address of an explorer that shows what an Aim query finds.

    Args:
        address: of the server.
        kind: "runs", "metrics", "images" or "params".
        query: what to look for, in Aim's language; empty for everything.
        state: more of the explorer's state, merged into its defaults: `grouping`, `images`, `options` of a select.
    """
    select = {"advancedMode": True, "advancedQuery": query, "query": query, "options": state.pop("options", [])}
    parts = {name: pack(part) for name, part in {"select": select, **state}.items()}
    return f"{address}/{kind}?{urllib.parse.urlencode(parts)}"


def pack(state: Mapping[str, Any]) -> str:
    """As Aim's pages keep state: JSON, percent-encoded as JavaScript's encodeURI does it, in base 64."""
    text = json.dumps(state, separators=(",", ":"), ensure_ascii=False)
    percent = urllib.parse.quote(text, safe=";,/?:@&=+$-_.!~*'()#")
    return "O-" + base64.urlsafe_b64encode(percent.encode()).decode().rstrip("=")


def column(metric: str, subset: str) -> str:
    """The name of a metric's column in Aim's tables."""
    return pack({"metricName": metric, "contextName": f' subset="{subset}"'})


def open_until(page: Page, address: str, condition: str) -> None:
    """Opens a page, again if need be, until a JavaScript expression is true of it."""
    for _ in range(TRIES):
        page.goto(address)
        try:
            page.wait_for_function(condition, timeout=1000 * PAGE_TIMEOUT_S)
            return
        except TimeoutError:
            continue
    raise RuntimeError(f"{condition} is not true of {address}: {page.inner_text('body')}")
