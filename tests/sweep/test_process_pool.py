"""Child processes end with their parent, however they handle signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from helpers.watched import has_ended

from jersey.sweep import process_pool
from jersey.sweep.process_pool import STOPPING, Child, ProcessPool, Stopped

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


def ends(children: Sequence[Child], environments: Sequence[Mapping[str, str]]) -> Iterator[tuple[int, int]]:
    """Runs all children in order, and yields number and exit code of each at its end."""
    waiting = list(children)
    with ProcessPool(environments) as pool:
        while waiting or not pool.is_idle:
            if waiting and pool.has_room:
                pool.start(waiting.pop(0))
            else:
                yield from pool.ended()


def test_exit_codes_are_yielded_in_the_order_of_the_ends(tmp_path: Path) -> None:
    flag = str(tmp_path / "flag")
    waits = python("import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)\nsys.exit(4)", flag)
    makes = python("import sys; open(sys.argv[1], 'w').close(); sys.exit(5)", flag)
    handlers = [signal.getsignal(each) for each in STOPPING]
    assert sorted(ends([waits, makes], [{}] * 2)) == [(0, 4), (1, 5)]
    assert [signal.getsignal(each) for each in STOPPING] == handlers


def test_each_concurrent_child_has_an_environment_of_its_own(tmp_path: Path) -> None:
    """The second child ends first, so the third gets its environment."""
    code = """import os, sys, time
open(sys.argv[1], "w").write(os.environ["PLACE"])
while sys.argv[2] and not os.path.exists(sys.argv[2]): time.sleep(0.01)"""
    files = [str(tmp_path / name) for name in "abc"]
    children = [python(code, file, wait) for file, wait in zip(files, (files[2], "", ""), strict=True)]
    list(ends(children, [{"PLACE": "0"}, {"PLACE": "1"}]))
    assert [Path(file).read_text() for file in files] == ["0", "1", "1"]


def test_a_child_that_ignores_the_signal_is_killed_after_the_grace_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_pool, "GRACE_S", 0.2)
    pids = [tmp_path / name for name in ("stubborn", "other", "late")]
    children = [python(code, str(pid)) for code, pid in zip((IGNORES_SIGTERM, SLEEPS, SLEEPS), pids, strict=True)]

    def start_and_stop() -> None:
        with ProcessPool([{}] * 3) as pool:
            for child in children[:2]:
                pool.start(child)
            while not all(pid.exists() and pid.read_text() for pid in pids[:2]):
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
            pool.start(children[2])

    with pytest.raises(Stopped, match="SIGTERM") as caught:
        start_and_stop()
    assert not pids[2].exists()
    assert caught.value.exit_code == 143
    assert not any(is_running(int(pid.read_text())) for pid in pids if pid.exists())


def test_children_end_if_the_caller_fails(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    waits = "import os, sys, time\nwhile not os.path.exists(p := sys.argv[1]) or not open(p).read(): time.sleep(0.01)"
    both = [python(code, str(pid_file)) for code in (SLEEPS, waits)]

    def read_and_fail() -> None:
        with ProcessPool([{}] * 2) as pool:
            for child in both:
                pool.start(child)
            while not (ended := pool.ended()):
                pass
            raise LookupError(ended)

    with pytest.raises(LookupError, match=r"\[\(1, 0\)\]"):
        read_and_fail()
    assert not is_running(int(pid_file.read_text()))


def test_one_process_can_be_ended_and_the_others_go_on(tmp_path: Path) -> None:
    pids = [tmp_path / name for name in ("ended", "other")]
    with ProcessPool([{}] * 2) as pool:
        for pid in pids:
            pool.start(python(SLEEPS, str(pid)))
        while not all(pid.exists() and pid.read_text() for pid in pids):
            time.sleep(0.01)
        pool.terminate(0)
        while not (ended := pool.ended()):
            pass
        assert ended == [(0, -signal.SIGTERM)]
        assert pool.has_room
        assert is_running(int(pids[1].read_text()))
    assert not is_running(int(pids[1].read_text()))


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        hangs_up = python("import os, signal; os.kill(os.getppid(), signal.SIGHUP)")
        assert list(ends([hangs_up], [{}])) == [(0, 0)]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_ends_if_its_pool_is_killed(tmp_path: Path) -> None:
    """The second child does not watch, so that the first ends by its own decision."""
    watches = f"from jersey.core.distributed import end_with_parent; end_with_parent(); {SLEEPS}"
    program = f"""import sys, time
from jersey.sweep.process_pool import Child, ProcessPool
with ProcessPool([{{}}] * 2) as pool:
    for code, pid in zip(({watches!r}, {SLEEPS!r}), sys.argv[1:]):
        pool.start(Child((sys.executable, "-c", code, pid)))
    time.sleep(600)"""
    pids = [tmp_path / name for name in ("run", "other")]
    parent = subprocess.Popen((sys.executable, "-c", program, *map(str, pids)), stderr=subprocess.PIPE)
    while not all(pid.exists() and pid.read_text() for pid in pids):
        time.sleep(0.01)
    run, other = (int(pid.read_text()) for pid in pids)
    try:
        assert not has_ended(run)
        parent.kill()
        assert parent.stderr is not None
        assert b"the sweep was killed" in parent.stderr.readline() + parent.stderr.readline()
        while not has_ended(run):
            time.sleep(0.01)
        assert not has_ended(other)
    finally:
        os.killpg(other, signal.SIGKILL)
        parent.wait()
