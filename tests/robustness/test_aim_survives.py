"""The tracker in processes that are killed, race, or lose their repository during an open run.

Without care Aim would hang at exit, so each case runs in its own process with a time limit. The processes are forked
from one that has imported everything, because the imports take longer than all cases.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import aim_repository
from helpers.aim_repository import curve, hashes_in, the_run, tracker_in
from helpers.small_disk import small_disk

workdir, empty_repository = aim_repository.workdir, aim_repository.empty_repository
pytestmark = pytest.mark.slow

FORKER = """
import json, os, shutil, signal, sys, time
from pathlib import Path
import aim
import numpy as np
from PIL import Image
from jersey.runs.aim import AimTracker

for line in sys.stdin:
    codes, workdir = json.loads(line)
    workdir = Path(workdir)
    children = []
    for index, code in enumerate(codes):
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            for stream, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(workdir / f"{name}{index}", os.O_CREAT | os.O_WRONLY), stream)
            exec(code)
            sys.exit()
        children.append(child)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)
"""
START = """
tracker = AimTracker(repo=workdir / ".aim", experiment="e", run_name="r", hash_file=workdir / "aim_hash",
                     system_tracking_interval=0.2)
tracker.log_metrics({"train/loss": 1.0, "epoch": 0}, step=0)
"""
LOG_ON = """
tracker.log_metrics({"train/loss": 1.0, "epoch": 1}, step=1)
tracker.finalize("success")
tracker.log_outcome("finished")
print("trained on")
"""


@dataclass
class Ended:
    """A process that has ended.

    Attributes:
        code: exit code; a negative one is a signal, and -14 the time limit.
        out: its standard output.
        err: its standard error.
    """

    code: int
    out: str
    err: str


class Forker:
    """Runs snippets of Python concurrently, each in its own process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, *codes: str, workdir: Path) -> list[Ended]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([codes, str(workdir)]), file=self._process.stdin, flush=True)
        return [
            Ended(code, (workdir / f"out{index}").read_text(), (workdir / f"err{index}").read_text())
            for index, code in enumerate(json.loads(self._process.stdout.readline()))
        ]


@pytest.fixture(scope="module")
def forker() -> Iterator[Forker]:
    command = [sys.executable, "-c", FORKER]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Forker(process)
        assert process.stdin is not None
        process.stdin.close()


def assert_continued_with_one_warning(process: Ended) -> None:
    assert (process.code, process.out) == (0, "trained on\n")
    (line,) = process.err.splitlines()
    assert line.startswith("Aim stops recording this run")


def test_a_finished_run_prints_nothing_at_exit(workdir: Path, forker: Forker) -> None:
    # Aim's cleanup would start a thread at exit, which Python 3.12 refuses with a traceback.
    (process,) = forker.run(f"{START}{LOG_ON}", workdir=workdir)
    assert (process.code, process.out, process.err) == (0, "trained on\n", "")


@pytest.mark.parametrize("then", ["", "(workdir / '.aim').write_text('a file')"])
def test_repository_deleted_under_an_open_run(workdir: Path, forker: Forker, then: str) -> None:
    (process,) = forker.run(f"{START}shutil.rmtree(workdir / '.aim')\n{then}\ntime.sleep(6)\n{LOG_ON}", workdir=workdir)
    assert_continued_with_one_warning(process)
    assert not (workdir / ".aim" / "check_ins").exists(), "Aim's heartbeat created it again"


def test_exit_without_closing_the_run_of_a_deleted_repository(workdir: Path, forker: Forker) -> None:
    (process,) = forker.run(f"{START}shutil.rmtree(workdir / '.aim')\nprint('trained on')", workdir=workdir)
    assert_continued_with_one_warning(process)


def test_an_exhausted_disk_quota(workdir: Path, forker: Forker) -> None:
    fill = """
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8))
tracker.log_image("noise", noise, step=0, epoch=0, subset="val")
"""
    (process,) = forker.run(START + fill + LOG_ON, workdir=workdir)
    assert_continued_with_one_warning(process)


# With 2 MB left Aim would wait endlessly for more space; with none its writes of samples fail first.
@pytest.mark.parametrize("room_bytes", [2_000_000, 0])
def test_a_disk_that_fills_up_between_two_checks(tmp_path: Path, forker: Forker, room_bytes: int) -> None:
    log_on = """
from jersey.runs import aim as tracking
tracking.MIN_FREE_BYTES = 0  # as if the last check had been just before
tracker._timeout_thread._limit_s = 5
time.sleep(1)
noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8))
for step in range(4):
    tracker.log_image("noise", noise, step=step, epoch=0, subset="val")
    time.sleep(0.5)
"""
    fill = f"""
with (workdir / ".aim" / "filler").open("wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        file.truncate(file.tell() - {room_bytes})
"""
    with small_disk(tmp_path / ".aim", size_mb=64):
        (process,) = forker.run(START + fill + log_on + LOG_ON, workdir=tmp_path)
        assert_continued_with_one_warning(process)


def test_a_run_that_is_open_elsewhere_is_not_changed(workdir: Path, forker: Forker) -> None:
    tracker = tracker_in(workdir)
    tracker.log_metrics({"train/loss": 7.0, "epoch": 0}, step=0)
    (process,) = forker.run(START + LOG_ON, workdir=workdir)
    assert_continued_with_one_warning(process)
    tracker.log_outcome("finished")
    assert curve(the_run(workdir), "loss", subset="train") == [(0, 7.0, 0)]


def test_the_run_of_a_killed_process_is_continued(workdir: Path, forker: Forker) -> None:
    (process,) = forker.run(START + "os.kill(os.getpid(), signal.SIGKILL)", workdir=workdir)
    assert process.code == -9
    tracker = tracker_in(workdir)
    tracker.log_metrics({"train/loss": 2.0, "epoch": 1}, step=1)
    tracker.finalize("success")
    assert curve(the_run(workdir), "loss", subset="train") == [(0, 1.0, 0), (1, 2.0, 1)]


def test_processes_that_create_one_repository_at_once_all_record(tmp_path: Path, forker: Forker) -> None:
    codes = [START.replace("aim_hash", f"hash{index}") + LOG_ON for index in range(3)]
    assert forker.run(*codes, workdir=tmp_path) == [Ended(0, "trained on\n", "")] * 3
    assert len(hashes_in(tmp_path)) == 3
