"""Signals sent to real processes."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers.aim_repository import hashes_in
from helpers.countdown import rows_of
from helpers.launched import NO_PICTURES, Started
from helpers.repository import REPOSITORY
from helpers.small_run import assert_same_training

PROGRAM = """
import sys, time
from contextlib import ExitStack
from jersey.runs import signals

with ExitStack() as opened:
    opened.enter_context(signals.handle_signals())
    if "deferred" in sys.argv:
        opened.enter_context(signals.defer_stop())
    try:
        print("ready", flush=True)
        for _ in range(2000):
            if signals.exit_code() is not None and "ignored" not in sys.argv:
                sys.exit(signals.exit_code())
            time.sleep(0.01)
    finally:
        print("closed", flush=True)
"""


def program(*words: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("words", [(), ("deferred",)])
def test_first_signal_lets_the_run_close_its_resources(number: int, code: int, words: tuple[str, ...]) -> None:
    process = program(*words)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (code, "closed\n")
    assert ("stops after this step" in stderr) == bool(words)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_second_signal_ends_the_run_at_once(number: int, code: int) -> None:
    process = program("deferred", "ignored")
    process.send_signal(number)
    assert process.stderr is not None
    while "a second signal" not in process.stderr.readline():  # two signals at once could arrive as one
        pass
    process.send_signal(number)
    assert process.wait(timeout=5) == code
    assert process.stdout is not None
    assert process.stdout.read() == ""  # no resource was closed


def test_previous_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    from jersey.runs import signals

    with signals.handle_signals():
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] != before
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


TINY = (
    "--exp=resnet18_baseline",
    "--run=one",
    "--fdl_set=size_px=(24, 24)",
    "--fdl_set=batch_size=8",
    "--fdl_set=weights=None",
    "--fdl_set=epochs=3",
    "--fdl_set=profile=False",
    "--fdl_set=checkpoints.every_steps=1",
    "--fdl_set=accelerator=cpu",
    *NO_PICTURES,
)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_run_stopped_by_signals_ends_like_an_uninterrupted_one(crops_root: Path, tmp_path: Path) -> None:
    flags = (*TINY, f"--fdl_set=root={crops_root}")
    whole, stopped = (tmp_path / name for name in ("whole", "stopped"))
    for folder in (whole, stopped):
        folder.mkdir()
    result = Started(flags, whole).ended(timeout_s=200)
    assert result.returncode == 0, result.stderr

    last = stopped / "runs" / "resnet18_baseline" / "one" / "checkpoints" / "last.ckpt"
    step = 0
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = Started(flags, stopped)
        wait_for_a_step_after(step, last, process)
        process.kill(number)
        result = process.ended(timeout_s=100)
        assert result.returncode == code, result.stderr
        assert "Traceback" not in result.stderr
        step = torch.load(last, weights_only=True)["global_step"]
        assert step < 18
    result = Started(flags, stopped).ended(timeout_s=200)
    assert result.returncode == 0, result.stderr
    left, right = (torch.load(folder / last.relative_to(stopped), weights_only=True) for folder in (stopped, whole))
    assert_same_training(left, right)
    assert rows_of(last.parent.parent) == rows_of(whole / "runs" / "resnet18_baseline" / "one")
    assert len(hashes_in(stopped / "runs")) == 1


def wait_for_a_step_after(step: int, checkpoint: Path, process: Started) -> None:
    deadline_s = time.monotonic() + 100
    while time.monotonic() < deadline_s:
        assert process.is_running()
        if checkpoint.exists() and torch.load(checkpoint, weights_only=True)["global_step"] > step:
            return
        time.sleep(0.05)
    raise TimeoutError
