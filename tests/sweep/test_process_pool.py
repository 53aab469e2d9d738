"""Children end with their parent, whatever they do about signals."""

import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from jersey.sweep import process_pool
from jersey.sweep.process_pool import STOPPING, Child, Stopped, run_children

IGNORES_SIGTERM = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").close()
time.sleep(600)
"""


def python(code: str, *arguments: str) -> Child:
    return Child((sys.executable, "-S", "-c", code, *arguments))


def is_running(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_codes_come_as_children_end_not_as_they_started(tmp_path: Path) -> None:
    flag = str(tmp_path / "flag")
    waits = python("import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)\nsys.exit(4)", flag)
    makes = python("import sys; open(sys.argv[1], 'w').close(); sys.exit(5)", flag)
    endings = []
    handlers = [signal.getsignal(each) for each in STOPPING]
    for index, code in run_children([waits, makes], at_once=2, environment={}, on_start=lambda index: None):
        endings.append((index, code))
    assert sorted(endings) == [(0, 4), (1, 5)]
    assert [signal.getsignal(each) for each in STOPPING] == handlers


def test_a_child_that_ignores_the_signal_is_killed_after_the_grace_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_pool, "GRACE_S", 0.2)
    ready = tmp_path / "ready"
    groups = []
    popen = process_pool._open

    def remember(*arguments: object) -> object:
        process = popen(*arguments)  # type: ignore[arg-type]
        groups.append(process.pid)
        return process

    monkeypatch.setattr(process_pool, "_open", remember)

    def on_start(index: int) -> None:
        if index == 1:  # the first one runs
            while not ready.exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)

    both = [python(IGNORES_SIGTERM, str(ready)), python("import time; time.sleep(600)"), python("")]
    with pytest.raises(Stopped, match="SIGTERM") as caught:
        list(run_children(both, at_once=3, environment={}, on_start=on_start))
    assert caught.value.exit_code == 143
    assert len(groups) == 2
    assert not any(map(is_running, groups))


def test_children_end_when_their_reader_fails(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    sleeps = "import os, sys, time; print(os.getpid(), file=open(sys.argv[1], 'w'), flush=True); time.sleep(600)"
    waits = "import os, sys, time\nwhile not os.path.exists(p := sys.argv[1]) or not open(p).read(): time.sleep(0.01)"
    both = [python(code, str(pid_file)) for code in (sleeps, waits)]

    def read_and_fail() -> None:
        with closing(run_children(both, at_once=2, environment={}, on_start=lambda index: None)) as endings:
            raise LookupError(next(endings))

    with pytest.raises(LookupError, match=r"\(1, 0\)"):
        read_and_fail()
    assert not is_running(int(pid_file.read_text()))


def test_a_signal_that_was_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        hangs_up = python("import os, signal; os.kill(os.getppid(), signal.SIGHUP)")
        codes = list(run_children([hangs_up], at_once=1, environment={}, on_start=lambda index: None))
        assert codes == [(0, 0)]
    finally:
        signal.signal(signal.SIGHUP, before)
