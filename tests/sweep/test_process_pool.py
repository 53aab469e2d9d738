"""Child processes end with their parent, however they handle signals."""

import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from jersey.sweep import process_pool
from jersey.sweep.process_pool import STOPPING, Child, Stopped, run_children

SLEEPS = "import os, sys, time; print(os.getpid(), file=open(sys.argv[1], 'w'), flush=True); time.sleep(600)"
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"


def python(code: str, *arguments: str) -> Child:
    return Child((sys.executable, "-S", "-c", code, *arguments))


def is_running(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_exit_codes_are_yielded_in_the_order_of_the_ends(tmp_path: Path) -> None:
    flag = str(tmp_path / "flag")
    waits = python("import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)\nsys.exit(4)", flag)
    makes = python("import sys; open(sys.argv[1], 'w').close(); sys.exit(5)", flag)
    handlers = [signal.getsignal(each) for each in STOPPING]
    events = list(run_children([waits, makes], environments=[{}] * 2))
    assert events[:2] == [(0, None), (1, None)]
    assert sorted(events[2:]) == [(0, 4), (1, 5)]
    assert [signal.getsignal(each) for each in STOPPING] == handlers


def test_each_concurrent_child_has_an_environment_of_its_own(tmp_path: Path) -> None:
    """The second child ends first, so the third gets its environment."""
    code = """import os, sys, time
open(sys.argv[1], "w").write(os.environ["PLACE"])
while sys.argv[2] and not os.path.exists(sys.argv[2]): time.sleep(0.01)"""
    files = [str(tmp_path / name) for name in "abc"]
    children = [python(code, file, wait) for file, wait in zip(files, (files[2], "", ""), strict=True)]
    list(run_children(children, environments=[{"PLACE": "0"}, {"PLACE": "1"}]))
    assert [Path(file).read_text() for file in files] == ["0", "1", "1"]


def test_a_child_that_ignores_the_signal_is_killed_after_the_grace_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_pool, "GRACE_S", 0.2)
    pids = [tmp_path / name for name in ("stubborn", "other", "late")]
    children = [python(code, str(pid)) for code, pid in zip((IGNORES_SIGTERM, SLEEPS, SLEEPS), pids, strict=True)]

    def stop_at_the_third() -> None:
        for index, _ in run_children(children, environments=[{}] * 3):
            if index == 2:
                while not all(pid.exists() and pid.read_text() for pid in pids[:2]):
                    time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match="SIGTERM") as caught:
        stop_at_the_third()
    assert caught.value.exit_code == 143
    assert not any(is_running(int(pid.read_text())) for pid in pids if pid.exists())


def test_children_end_if_the_caller_fails(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    waits = "import os, sys, time\nwhile not os.path.exists(p := sys.argv[1]) or not open(p).read(): time.sleep(0.01)"
    both = [python(code, str(pid_file)) for code in (SLEEPS, waits)]

    def read_and_fail() -> None:
        with closing(run_children(both, environments=[{}] * 2)) as events:
            raise LookupError(next(event for event in events if event[1] is not None))

    with pytest.raises(LookupError, match=r"\(1, 0\)"):
        read_and_fail()
    assert not is_running(int(pid_file.read_text()))


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        hangs_up = python("import os, signal; os.kill(os.getppid(), signal.SIGHUP)")
        assert list(run_children([hangs_up], environments=[{}])) == [(0, None), (0, 0)]
    finally:
        signal.signal(signal.SIGHUP, before)
