"""Aim's server as the README starts it is reachable from this machine only, and its pages send no telemetry.

The server of Aim 3.29 sends `telemetry_enabled` to its pages, which load the telemetry script if it is 1.
"""

import json
import shlex
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import aim
import pytest
from aim_browser import aim_up, browser_page, chromium
from helpers.repository import REPOSITORY
from helpers.watched import addresses

pytestmark = pytest.mark.slow

LOOPBACK = "0100007F"
OTHERS = {"fonts.googleapis.com", "cdn.jsdelivr.net", "api.github.com"}  # fonts, Python for the browser, Aim's releases


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("aim")
    aim.Repo.from_path(str(folder), init=True)
    with aim_up(folder, tmp_path_factory.mktemp("log") / "log") as address:
        yield address


def test_every_command_of_the_readme_keeps_it_on_this_machine() -> None:
    lines = (REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()
    commands = [shlex.split(line) for line in lines if "aim up" in line and not line.startswith("|")]
    assert commands
    for words in commands:
        assert words[words.index("--host") + 1] == "127.0.0.1"
        assert "--read-only" in words


def test_it_listens_on_loopback_only(address: str) -> None:
    port = urllib.parse.urlparse(address).port
    everyone = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    found = {where for pid in everyone for where, each in _addresses(pid) if each == port}
    assert found == {LOOPBACK}


def _addresses(pid: int) -> list[tuple[str, int]]:
    try:
        return addresses(pid)
    except OSError:  # the process has ended, or belongs to another user
        return []


def test_it_disables_the_telemetry_of_its_pages(address: str) -> None:
    with urllib.request.urlopen(f"{address}/api/projects/", timeout=30) as answer:
        assert json.load(answer)["telemetry_enabled"] == 0


@pytest.mark.skipif(chromium() is None, reason="Chromium is not installed: apt-get install chromium")
def test_its_pages_request_from_known_hosts_only(address: str) -> None:
    hosts: set[str] = set()
    with browser_page() as page:
        page.on("request", lambda request: hosts.add(urllib.parse.urlparse(request.url).hostname or ""))
        for name in ("", "runs", "metrics"):
            page.goto(f"{address}/{name}")
            page.wait_for_timeout(3000)
    assert "127.0.0.1" in hosts
    assert hosts - {"127.0.0.1"} <= OTHERS
