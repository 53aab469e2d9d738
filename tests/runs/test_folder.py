"""Run folders are created, continued or rejected, and held by one process at a time."""

import subprocess
import sys
from pathlib import Path

import pytest

from jersey.core.errors import UserError
from jersey.runs.folder import RunFolder, open_run

CONFIG = "lr = 0.1\ndata.labels = ('0', '00')\n"


def open_(workdir: Path, name: str | None = None, config: str = CONFIG) -> RunFolder:
    return open_run(workdir, "exp", name, config_files={"config.txt": config, "config.json": "{}"})


def test_new_run_stores_its_config(tmp_path: Path) -> None:
    run = open_(tmp_path, "one")
    assert run.path == tmp_path / "exp" / "one"
    assert (run.path / "config.txt").read_text() == CONFIG
    assert run.stage == "fit"


def test_an_unfinished_run_of_the_same_config_is_continued_and_a_finished_one_is_not(tmp_path: Path) -> None:
    run = open_(tmp_path)
    run.mark_stage("test", epochs=4)
    path = run.path
    del run  # this releases the lock, as the end of its process would
    other = open_(tmp_path, config="lr = 0.2\n")
    assert other.path != path
    again = open_(tmp_path)
    assert again.path == path
    assert again.status == {"stage": "test", "epochs": 4}
    again.mark_stage("finished")
    del again
    assert open_(tmp_path).path != path


def test_named_run_with_another_config_is_rejected_with_the_differences(tmp_path: Path) -> None:
    path = open_(tmp_path, "one").path
    with pytest.raises(UserError, match=r"lr was 0\.1, now 0\.2; .* was \('0', '00'\), now not set"):
        open_(tmp_path, "one", config="lr = 0.2\n")
    assert (path / "config.txt").read_text() == CONFIG


def test_run_held_by_another_process_is_rejected_by_name_and_skipped_without_a_name(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from jersey.runs.folder import open_run\n"
        f"run = open_run(Path(sys.argv[1]), 'exp', 'one', config_files={{'config.txt': {CONFIG!r}}})\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="in use by another process"):
        open_(tmp_path, "one")
    assert open_(tmp_path).name != "one"
    holder.kill()
    holder.communicate()
    assert open_(tmp_path, "one").name == "one"


@pytest.mark.parametrize("name", ["../one", "a/b", ".hidden", ""])
def test_invalid_folder_name_is_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="--run="):
        open_(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_start_removes_the_folders_that_it_has_created_and_no_others(tmp_path: Path) -> None:
    workdir = tmp_path / "new" / "runs"
    with pytest.raises(UserError, match="refused"), open_(workdir, "one").removed_on_failed_start():
        raise UserError("refused")
    assert list(tmp_path.iterdir()) == []
    workdir.mkdir(parents=True)
    kept = open_(workdir, "kept").path
    for name in ("one", "kept"):  # a run that this process continues has been created by another
        with pytest.raises(UserError, match="refused"), open_(workdir, name).removed_on_failed_start():
            raise UserError("refused")
    assert list((workdir / "exp").iterdir()) == [kept]
