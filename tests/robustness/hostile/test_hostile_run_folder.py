"""Links and names in a run folder that somebody else has filled: the run writes and records nowhere else."""

from pathlib import Path

import pytest
from helpers import aim_repository
from helpers.aim_repository import hashes_in, tracker_in

from jersey.runs.folder import open_run

workdir, empty_repository = aim_repository.workdir, aim_repository.empty_repository
CONFIG_FILES = {"config.txt": "lr = 0.1\n"}


def test_a_link_in_the_place_of_the_lock_empties_no_file(tmp_path: Path) -> None:
    folder = open_run(tmp_path, "exp", "one", config_files=CONFIG_FILES).path
    (tmp_path / "precious").write_text("kept", encoding="utf-8")
    (folder / ".lock").unlink()
    (folder / ".lock").symlink_to(tmp_path / "precious")
    open_run(tmp_path, "exp", "one", config_files=CONFIG_FILES).mark_stage("test", epochs=1)
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "kept"


NAMES = (b"../../../elsewhere", b"..", b"/", b"/etc", b".", b"a/../../../../elsewhere", b"", b"\x1b[31m")


@pytest.mark.parametrize("content", [*NAMES, b"\xff", b"0" * 100_000])
def test_the_name_of_a_run_in_aim_leads_nowhere_else(content: bytes, workdir: Path, tmp_path: Path) -> None:
    """Aim would open, or make, a data base of that name below its repository."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (workdir / "aim_hash").write_bytes(content)
    tracker = tracker_in(workdir)
    tracker.log_metrics({"train/loss": 1.0, "epoch": 0}, step=0)
    tracker.finalize("success")
    assert list(elsewhere.iterdir()) == []
    # With what is no text at all, or no name that a file can have, Aim records nothing, and the run goes on.
    known = (workdir / "aim_hash").read_bytes()
    assert (known != content, hashes_in(workdir)) == ((True, [known.decode()]) if content in NAMES else (False, []))
