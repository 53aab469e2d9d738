"""Hostile links and names in a run folder do not lead a run to write elsewhere."""

from pathlib import Path

import pytest
from helpers import aim_repository
from helpers.aim_repository import hashes_in, tracker_in

from jersey.runs.folder import open_run

workdir, empty_repository = aim_repository.workdir, aim_repository.empty_repository
CONFIG_FILES = {"config.txt": "lr = 0.1\n"}


def test_a_link_instead_of_the_lock_empties_no_file(tmp_path: Path) -> None:
    folder = open_run(tmp_path, "exp", "one", config_files=CONFIG_FILES).path
    (tmp_path / "precious").write_text("kept", encoding="utf-8")
    (folder / ".lock").unlink()
    (folder / ".lock").symlink_to(tmp_path / "precious")
    open_run(tmp_path, "exp", "one", config_files=CONFIG_FILES).mark_stage("test", epochs=1)
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "kept"


NAMES = (b"../../../elsewhere", b"..", b"/", b"/etc", b".", b"a/../../../../elsewhere", b"", b"\x1b[31m")


@pytest.mark.parametrize("content", [*NAMES, b"\xff", b"0" * 100_000])
def test_a_hostile_aim_hash_leads_to_no_other_folder(content: bytes, workdir: Path, tmp_path: Path) -> None:
    """Aim would open or create a database of that name below its repository."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (workdir / "aim_hash").write_bytes(content)
    tracker = tracker_in(workdir)
    tracker.log_metrics({"train/loss": 1.0, "epoch": 0}, step=0)
    tracker.finalize("success")
    assert list(elsewhere.iterdir()) == []
    # If the hash is not text or not a valid file name, Aim records nothing and the run continues.
    known = (workdir / "aim_hash").read_bytes()
    assert (known != content, hashes_in(workdir)) == ((True, [known.decode()]) if content in NAMES else (False, []))
